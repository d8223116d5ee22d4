package keystore

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	id := "0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5f"
	for _, good := range []string{id, "arn:aws:kms:local:" + testAccount + ":key/" + id, "alias/a", "alias/a/b-c_D", "arn:aws:kms:local:" + testAccount + ":alias/a", "alias/aws/x"} {
		if _, err := place.ParseRef(good, testAccount); err != nil {
			t.Errorf("ParseRef(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "x", strings.ToUpper(id), "{" + id + "}", id + " ", "alias/", "alias/a:b", "alias/ä", "alias/*", "key/" + id, "alias/" + strings.Repeat("a", 251),
		"arn:aws:kms:local:" + testAccount + ":key/" + id + "/x", "arn:aws:kms:elsewhere:" + testAccount + ":key/" + id, "arn:aws-cn:kms:local:" + testAccount + ":key/" + id,
		"arn:aws:iam:local:" + testAccount + ":key/" + id, "arn:aws:kms:local:1:key/" + id, "arn:aws:kms:local:" + testAccount + ":" + id, "arn:aws:kms:local:" + testAccount, strings.Repeat("a", 2049),
	} {
		if r, err := place.ParseRef(bad, testAccount); !errors.Is(err, ErrInvalidKeyID) || r != (Ref{}) {
			t.Errorf("ParseRef(%q) = %+v, %v, want ErrInvalidKeyID and nothing", bad, r, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("alias/a")
	f.Add("arn:aws:kms:local:111122223333:key/0a1b2c3d-0a1b-4c3d-8a1b-0a1b2c3d4e5f")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := place.ParseRef(s, testAccount)
		if err != nil {
			if r != (Ref{}) {
				t.Errorf("ParseRef(%q) = %+v beside an error", s, r)
			}
			return
		}
		printed := place.KeyARN(r.Account, r.ID)
		if r.Alias != "" {
			printed = place.AliasARN(r.Account, r.Alias)
		}
		if again, err := place.ParseRef(printed, "000000000000"); err != nil || again != r {
			t.Errorf("ParseRef(%q) = %+v, but its ARN %q gives %+v, %v", s, r, printed, again, err)
		}
	})
}
