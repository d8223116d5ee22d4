package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// maxMaterialFile is the size of the largest file with key material, in bytes: the PEM of the largest key has some 7,000.
const maxMaterialFile = 16 << 10

// readMaterial reads the material of a key of that spec, in the form that is stored, from a file that only its owner may read, or
// from standard input. The caller wipes it.
func (a *app) readMaterial(ctx context.Context, path string, spec crypto.Spec) (crypto.Secret, error) {
	if path != standard {
		info, err := os.Stat(path)
		if err != nil {
			return crypto.Secret{}, fmt.Errorf("reading the key material: %w", err)
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return crypto.Secret{}, hint(fmt.Errorf("%s has mode %04o: others than you may read the key material", path, mode), "chmod 600 %s", path)
		}
	} else if isTerminal(a.stdin) {
		return crypto.Secret{}, usage("key material is not typed on a terminal: give a file, or a pipe")
	}
	b, err := a.read(ctx, path, maxMaterialFile)
	if err != nil {
		return crypto.Secret{}, err
	}
	defer clear(b)
	material, err := parseMaterial(spec, b)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("%s: %w", inputName(path), err)
	}
	return material, nil
}

// parseMaterial returns the material of a key of that spec in its one stored form: b is the raw bytes of a symmetric or HMAC key, or the seed of
// an ML-DSA or ML-KEM key, or a private key in PKCS #8, SEC 1 or PKCS #1, in PEM or DER. The caller wipes both.
func parseMaterial(spec crypto.Spec, b []byte) (crypto.Secret, error) {
	if !spec.Asymmetric() {
		m, err := keypair.Canonical(spec, crypto.NewSecret(bytes.Clone(b)))
		if err != nil {
			return m, hintAt(err, "the file has the bytes of the key and nothing else: no line feed, no base64")
		}
		return m, err
	}
	der, kind := b, ""
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		block, err := privateBlock(b)
		if err != nil {
			return crypto.Secret{}, err
		}
		defer clear(block.Bytes)
		der, kind = block.Bytes, block.Type
	}
	wrapped := crypto.NewSecret(inPKCS8(spec, kind, der))
	defer wrapped.Wipe()
	return keypair.Canonical(spec, wrapped)
}

// privateBlock returns the one private key of a PEM file. What belongs to it otherwise, such as EC PARAMETERS, is skipped.
func privateBlock(b []byte) (*pem.Block, error) {
	var found *pem.Block
	for {
		block, rest := pem.Decode(b)
		switch {
		case block == nil && found == nil:
			return nil, errors.New("there is no private key in this PEM file")
		case block == nil:
			return found, nil
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] != "":
			return nil, hintAt(errors.New("the private key is encrypted with a passphrase"), "openssl pkey -in FILE | kmsctl key import KEY --material -")
		case block.Type == "PRIVATE KEY", block.Type == "EC PRIVATE KEY", block.Type == "RSA PRIVATE KEY":
			if found != nil {
				return nil, errors.New("there is more than one private key in this PEM file")
			}
			found = block
		}
		b = rest
	}
}

// The objects of private keys that are not in PKCS #8.
const (
	rsaAlgorithm = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00" // rsaEncryption, NULL (RFC 8017)
	ecPublicKey  = "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"                         // RFC 5480
)

// curves :: spec → the object identifier of its curve, in DER.
var curves = map[crypto.Spec]string{
	crypto.SpecP256:   "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
	crypto.SpecP384:   "\x06\x05\x2b\x81\x04\x00\x22",
	crypto.SpecP521:   "\x06\x05\x2b\x81\x04\x00\x23",
	crypto.SpecP256K1: "\x06\x05\x2b\x81\x04\x00\x0a",
}

// inPKCS8 returns der in a PrivateKeyInfo (RFC 5208) in bytes of their own, if it is a private key of PKCS #1 or SEC 1, which kind, the type of its PEM block,
// or its version says; else der as it is. Package keypair looks at whether it is right.
func inPKCS8(spec crypto.Spec, kind string, der []byte) []byte {
	curve, onCurve := curves[spec]
	isRSA := spec == crypto.SpecRSA2048 || spec == crypto.SpecRSA3072 || spec == crypto.SpecRSA4096
	var algorithm []byte
	switch {
	case isRSA && (kind == "RSA PRIVATE KEY" || kind == "" && secondIs(der, asn1.INTEGER)):
		algorithm = []byte(rsaAlgorithm)
	case onCurve && (kind == "EC PRIVATE KEY" || kind == "" && secondIs(der, asn1.OCTET_STRING)):
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes([]byte(ecPublicKey + curve)) })
		algorithm = b.BytesOrPanic()
	default:
		return bytes.Clone(der)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(der)+64)) // never grown: a grown one leaves copies
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(algorithm)
		b.AddASN1OctetString(der)
	})
	return b.BytesOrPanic()
}

// secondIs reports whether der is a sequence of an integer and a value with that tag.
func secondIs(der []byte, tag asn1.Tag) bool {
	var inner, first cryptobyte.String
	s := cryptobyte.String(der)
	return s.ReadASN1(&inner, asn1.SEQUENCE) && inner.ReadASN1(&first, asn1.INTEGER) && inner.PeekASN1Tag(tag)
}
