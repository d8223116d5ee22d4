package aws

import "testing"

func TestValidationInAWSsWords(t *testing.T) {
	const one = "1 validation error detected: "
	kms := newKMS()
	for name, c := range map[string]struct {
		op         string
		violations []violation
		want       string
	}{
		"what is missing":            {"Encrypt", []violation{{"key_id", "is missing"}}, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		"too short":                  {"Encrypt", []violation{{"plaintext", "has 0 bytes, must have 1 to 65536"}}, one + "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"too long":                   {"Encrypt", []violation{{"plaintext", "has 70000 bytes, must have 1 to 65536"}}, one + "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 65536"},
		"a number too small":         {"ScheduleKeyDeletion", []violation{{"pending_window_in_days", "is 3, must be 7 to 30, or 0 for the default"}}, one + "Value '3' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value greater than or equal to 7"},
		"a number too large":         {"ScheduleKeyDeletion", []violation{{"pending_window_in_days", "is 31, must be 7 to 30"}}, one + "Value '31' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value less than or equal to 30"},
		"an entry of a list":         {"TagResource", []violation{{"tags[1].tag_key", "has 200 bytes, must have 1 to 128"}}, one + "Value at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128"},
		"a text of a list":           {"Encrypt", []violation{{"grant_tokens[0]", "has 0 bytes, must have 1 to 8192"}}, one + "Value at 'grantTokens.1.member' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"words of kmsd's":            {"Encrypt", []violation{{"plaintext_crc32c", "does not match: send it again"}}, one + "Value at 'plaintextCrc32c' failed to satisfy constraint: Member does not match: send it again"},
		"two of them":                {"Encrypt", []violation{{"key_id", "is missing"}, {"plaintext", "is missing"}}, "2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		"a sentence of AWS's":        {"CreateKey", []violation{{"key_usage", "KeyUsage X is not compatible with KeySpec Y"}}, "KeyUsage X is not compatible with KeySpec Y"},
		"nothing in particular":      {"Encrypt", nil, "the words of the pipeline"},
		"an operation nobody knows":  {"", []violation{{"key_id", "is missing"}}, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		"a field that has no member": {"Encrypt", []violation{{"some_thing[x", "is missing"}}, one + "Value null at 'someThing' failed to satisfy constraint: Member must not be null"},
		"no field":                   {"Encrypt", []violation{{"", "is missing"}}, one + "Value null at '' failed to satisfy constraint: Member must not be null"},
	} {
		p := problem{message: "the words of the pipeline", violations: c.violations}
		if got := p.validation(kms.operations[c.op]); got != c.want {
			t.Errorf("%s: %v in AWS's words = %q, want %q", name, c.violations, got, c.want)
		}
	}
}
