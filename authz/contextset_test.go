package authz_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// What Supply gives, ContextValues shows, for every key that a simulation may choose.
func TestSupply(t *testing.T) {
	for _, tt := range []struct {
		key    string
		values []string
	}{
		{"aws:SourceIp", []string{"192.0.2.1"}},
		{"aws:SecureTransport", []string{"false"}},
		{"aws:CurrentTime", []string{"2026-01-02T03:04:05Z"}},
		{"aws:UserAgent", []string{"x"}},
		{"aws:RequestedRegion", []string{"there"}},
		{"aws:PrincipalArn", []string{"arn:aws:iam::111122223333:user/b"}},
		{"aws:username", []string{"b"}},
		{"aws:PrincipalTag/team", []string{"red"}},
		{"aws:PrincipalOrgID", []string{"o-abcdefghij"}},
		{"aws:PrincipalOrgPaths", []string{"o-abcdefghij/r-abcd/"}},
		{"aws:TokenIssueTime", []string{"2026-01-02T03:04:05Z"}},
		{"aws:MultiFactorAuthPresent", []string{"true"}},
		{"aws:MultiFactorAuthAge", []string{"60"}},
		{"aws:SourceIdentity", []string{"alice"}},
		{"aws:ResourceTag/team", []string{"red"}},
		{"aws:ResourceOrgID", []string{"o-abcdefghij"}},
		{"aws:RequestTag/team", []string{"red"}},
		{"aws:TagKeys", []string{"a", "b"}},
		{"kms:EncryptionContext:app", []string{"web"}},
		{"kms:ResourceAliases", []string{"alias/a", "alias/b"}},
		{"kms:RequestAlias", []string{"alias/a"}},
		{"kms:KeySpec", []string{"SYMMETRIC_DEFAULT"}},
		{"kms:GrantOperations", []string{"Decrypt", "Encrypt"}},
		{"kms:ReEncryptOnSameKey", []string{"true"}},
		{"kms:SigningAlgorithm", []string{"ECDSA_SHA_256"}},
		{"kms:MessageType", []string{"DIGEST"}},
		{"kms:MacAlgorithm", []string{"HMAC_SHA_256"}},
		{"kms:KeyAgreementAlgorithm", []string{"ECDH"}},
		{"kms:DataKeyPairSpec", []string{"RSA_2048"}},
		{"kms:ScheduleKeyDeletionPendingWindowInDays", []string{"7"}},
		{"kms:RotationPeriodInDays", []string{"90"}},
		{"kms:WrappingAlgorithm", []string{"RSAES_OAEP_SHA_256"}},
		{"kms:WrappingKeySpec", []string{"RSA_4096"}},
		{"kms:ValidTo", []string{"2026-01-02T03:04:05Z"}},
		{"kms:ExpirationModel", []string{"KEY_MATERIAL_EXPIRES"}},
		{"sts:ExternalId", []string{"42"}},
		{"sts:DurationSeconds", []string{"900"}},
		{"iam:PolicyARN", []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}},
		{"example.com/x:sub", []string{"me"}},
	} {
		c := &authz.Caller{Kind: authz.User, Account: "111122223333", ID: "AIDAAAAAAAAAAAAAAAAAA", ARN: "arn:aws:iam::111122223333:user/a", UserName: "a"}
		r := &authz.Resource{Kind: authz.Key, Account: "111122223333", ARN: "arn:aws:kms:local:111122223333:key/a"}
		x := &authz.Context{}
		if err := authz.Supply(c, r, x, tt.key, tt.values); err != nil {
			t.Errorf("Supply(%s) = %v", tt.key, err)
			continue
		}
		var got []string
		for _, v := range authz.ContextValues(c, authz.KMSDecrypt, r, x) {
			if v.Name == tt.key {
				got = v.Values
			}
		}
		if !slices.Equal(got, tt.values) {
			t.Errorf("Supply(%s, %v) gives the values %v", tt.key, tt.values, got)
		}
	}
}

func TestSupplyRefuses(t *testing.T) {
	for key, values := range map[string][]string{
		"nothing":                    {"x"},
		"aws:SourceVpc":              {"vpc-1"}, // AWS has it, kmsd never
		"aws:SourceIp":               {"no address"},
		"aws:username":               {"a", "b"},
		"aws:CurrentTime":            {"yesterday"},
		"aws:PrincipalAccount":       {"111122223333"}, // follows from the caller
		"kms:EncryptionContextKeys":  {"a"},            // follows from the pairs
		"kms:MultiRegion":            {"true"},
		"kms:ReEncryptOnSameKey":     {"maybe"},
		"sts:DurationSeconds":        {"1.5"},
		"kms:ValidTo":                {"2026-13-01T00:00:00Z"},
		"kms:RotationPeriodInDays":   {"a year"},
		"kms:MessageType":            {"RAW", "DIGEST"},
		"kms:RecipientAttestation:x": {"y"},
	} {
		err := authz.Supply(&authz.Caller{Kind: authz.User}, &authz.Resource{Kind: authz.Key}, &authz.Context{}, key, values)
		if !errors.Is(err, authz.ErrContextKey) {
			t.Errorf("Supply(%s, %v) = %v, want %v", key, values, err, authz.ErrContextKey)
		}
	}
}
