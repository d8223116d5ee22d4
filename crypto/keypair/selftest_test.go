package keypair_test

import (
	"testing"

	"github.com/kmsd/kmsd/crypto/keypair"
)

func TestSelfTest(t *testing.T) {
	if err := keypair.SelfTest(); err != nil {
		t.Error(err)
	}
}
