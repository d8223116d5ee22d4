package keywrap_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/internal/vectors"
)

func TestWycheproofKWP(t *testing.T) {
	vectors.Run(t, "aes_kwp", "177 invalid refused, 77 valid accepted", func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
		kek := crypto.NewSecret(slices.Clone(v.Key))
		got, err := keywrap.KWPUnwrap(kek, v.CT)
		if err != nil && !errors.Is(err, keywrap.ErrUnwrap) {
			return vectors.Failed(err)
		}
		if v.Result == vectors.Valid {
			if wrapped, err := keywrap.KWPWrap(kek, v.Msg); err != nil || !slices.Equal(wrapped, v.CT) {
				return vectors.Failed(fmt.Errorf("KWPWrap() = %x, %v", wrapped, err))
			}
		}
		return vectors.Gives(v, got.Expose(), err, v.Msg)
	})
}
