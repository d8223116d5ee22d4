package crypto

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/internal/vectors"
)

// The AES-GCM of blobs and sealed records draws its nonces, so that what is compared is what it opens.
func TestWycheproofAESGCM(t *testing.T) {
	const want = "116 valid accepted, 113 valid skipped (the nonce has not 96 bits), 81 invalid refused, 6 invalid skipped (the nonce has not 96 bits)"
	vectors.Run(t, "aes_gcm", want, func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
		if len(v.IV) != 12 {
			return vectors.Skip("the nonce has not 96 bits")
		}
		got, err := newGCM(v.Key).Open(nil, nil, slices.Concat(v.IV, v.CT, v.Tag), v.AAD)
		return vectors.Gives(v, got, err, v.Msg)
	})
}

func TestWycheproofHMAC(t *testing.T) {
	const want = "%d invalid refused, 27 valid accepted, 27 valid refused (the MAC is truncated), 12 valid refused (the key is not as long as the hash)"
	for _, row := range []struct {
		file      string
		spec      Spec
		algorithm MACAlgorithm
		bits      int
		invalid   int
	}{
		{"hmac_sha224", SpecHMAC224, MACSHA224, 224, 106},
		{"hmac_sha256", SpecHMAC256, MACSHA256, 256, 108},
		{"hmac_sha384", SpecHMAC384, MACSHA384, 384, 108},
		{"hmac_sha512", SpecHMAC512, MACSHA512, 512, 108},
	} {
		vectors.Run(t, row.file, fmt.Sprintf(want, row.invalid), func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
			k, err := NewHMACKey(row.spec, NewSecret(slices.Clone(v.Key)))
			if g.KeySize != row.bits {
				if !errors.Is(err, ErrMaterial) {
					return vectors.Failed(fmt.Errorf("NewHMACKey() = %v, want %v", err, ErrMaterial))
				}
				return vectors.Passes(err).Unoffered("the key is not as long as the hash")
			}
			if err != nil {
				return vectors.Failed(err)
			}
			err = k.Verify(row.algorithm, v.Msg, v.Tag)
			if err != nil && !errors.Is(err, ErrMAC) {
				return vectors.Failed(err)
			}
			if g.TagSize != row.bits {
				return vectors.Passes(err).Unoffered("the MAC is truncated")
			}
			if mac, err := k.Generate(row.algorithm, v.Msg); err != nil || (v.Result == vectors.Valid) != slices.Equal(mac, v.Tag) {
				return vectors.Failed(fmt.Errorf("Generate() = %x, %v", mac, err))
			}
			return vectors.Passes(err)
		})
	}
}
