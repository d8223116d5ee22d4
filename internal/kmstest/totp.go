package kmstest

import (
	"encoding/base32"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/totp"
)

// TOTP is what an MFA device with the seed, in base32, shows some steps of 30 seconds from now.
func TOTP(t testing.TB, seed string, steps int) string {
	t.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(seed, "="))
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.Code(crypto.NewSecret(raw), uint64(int64(totp.Step(time.Now()))+int64(steps)))
	if err != nil {
		t.Fatal(err)
	}
	return code
}
