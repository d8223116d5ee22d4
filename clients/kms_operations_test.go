package clients

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// createKey makes a key, changed by change.
func (s *goSDK) createKey(t testing.TB, change func(*kms.CreateKeyInput)) *types.KeyMetadata {
	t.Helper()
	in := &kms.CreateKeyInput{}
	if change != nil {
		change(in)
	}
	return must(s.kms.CreateKey(t.Context(), in))(t).KeyMetadata
}

// specified is a change of createKey.
func specified(spec types.KeySpec, usage types.KeyUsageType) func(*kms.CreateKeyInput) {
	return func(in *kms.CreateKeyInput) { in.KeySpec, in.KeyUsage = spec, usage }
}

// external is a change of createKey.
func external(in *kms.CreateKeyInput) { in.Origin = types.OriginTypeExternal }

// want compares a member of an answer.
func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// wantPtr compares a member of an answer that has to be there.
func wantPtr[T comparable](t testing.TB, what string, got *T, wanted T) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is missing, want %v", what, wanted)
		return
	}
	want(t, what, *got, wanted)
}

// wantNear wants a time within a minute of now and some more.
func wantNear(t testing.TB, what string, got *time.Time, more time.Duration) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is missing", what)
		return
	}
	if off := time.Until(*got) - more; off.Abs() > time.Minute {
		t.Errorf("%s = %v, which is %v off", what, got, off)
	}
}

// wantMaterial wants the id of a version of a key: 64 hexadecimal digits.
func wantMaterial(t testing.TB, what string, got *string) {
	t.Helper()
	if len(aws.ToString(got)) != 64 || strings.Trim(*got, "0123456789abcdef") != "" {
		t.Errorf("%s = %q, want 64 hexadecimal digits", what, aws.ToString(got))
	}
}

const day = 24 * time.Hour

// kmsOperations calls every operation of KMS that kmsd has, and looks at all that its answer says.
func kmsOperations(t *testing.T, s *goSDK) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *goSDK)
	}{
		{"CreateKey and DescribeKey tell the same of a key", keyMetadata},
		{"keys are described, disabled and enabled", keyLifecycle},
		{"deletion is scheduled and cancelled", keyDeletion},
		{"aliases are made, moved, listed and deleted", aliases},
		{"tags are set, listed and removed", tags},
		{"the key policy is put, read and listed", keyPolicy},
		{"grants are made, listed, retired and revoked", grants},
		{"Encrypt, Decrypt and ReEncrypt keep the context", encryption},
		{"data keys come with and without plaintext", dataKeys},
		{"data key pairs come with and without plaintext", dataKeyPairs},
		{"GenerateRandom", random},
		{"Sign and Verify", signatures},
		{"GenerateMac and VerifyMac", macs},
		{"DeriveSharedSecret agrees with the other side", sharedSecret},
		{"Encapsulate and Decapsulate agree", encapsulation},
		{"rotation by itself and on demand", rotation},
		{"material is imported, rotated to and deleted", importedMaterial},
		{"GetKeyLastUsage", lastUsage},
	} {
		s.run(t, c.name, func(t *testing.T) { c.test(t, s) })
	}
}

func keyMetadata(t *testing.T, s *goSDK) {
	made := s.createKey(t, func(in *kms.CreateKeyInput) {
		in.Description = aws.String("größe 🔑")
		in.Tags = []types.Tag{{TagKey: aws.String("team"), TagValue: aws.String("a b")}}
	})
	described := must(s.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: made.KeyId}))(t).KeyMetadata
	for what, m := range map[string]*types.KeyMetadata{"CreateKey": made, "DescribeKey": described} {
		wantPtr(t, what+" Arn", m.Arn, s.k.arn("key/"+aws.ToString(m.KeyId)))
		wantPtr(t, what+" AWSAccountId", m.AWSAccountId, account)
		wantNear(t, what+" CreationDate", m.CreationDate, 0)
		wantMaterial(t, what+" CurrentKeyMaterialId", m.CurrentKeyMaterialId)
		//lint:ignore SA1019 programs still read it
		want(t, what+" CustomerMasterKeySpec", m.CustomerMasterKeySpec, types.CustomerMasterKeySpecSymmetricDefault)
		wantPtr(t, what+" Description", m.Description, "größe 🔑")
		want(t, what+" Enabled", m.Enabled, true)
		want(t, what+" EncryptionAlgorithms", fmt.Sprint(m.EncryptionAlgorithms), "[SYMMETRIC_DEFAULT]")
		want(t, what+" KeyManager", m.KeyManager, types.KeyManagerTypeCustomer)
		want(t, what+" KeySpec", m.KeySpec, types.KeySpecSymmetricDefault)
		want(t, what+" KeyState", m.KeyState, types.KeyStateEnabled)
		want(t, what+" KeyUsage", m.KeyUsage, types.KeyUsageTypeEncryptDecrypt)
		wantPtr(t, what+" MultiRegion", m.MultiRegion, false)
		want(t, what+" Origin", m.Origin, types.OriginTypeAwsKms)
		if m.DeletionDate != nil || m.ValidTo != nil || m.ExpirationModel != "" || m.PendingDeletionWindowInDays != nil {
			t.Errorf("%s says what such a key has not: %+v", what, m)
		}
	}
	if a, b := made.CreationDate, described.CreationDate; !a.Equal(*b) {
		t.Errorf("CreationDate = %v of CreateKey, %v of DescribeKey", a, b)
	}
}

func keyLifecycle(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	must(s.kms.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: key.KeyId, Description: aws.String("another")}))(t)
	must(s.kms.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key.Arn}))(t)
	m := must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.Arn}))(t).KeyMetadata
	wantPtr(t, "Description", m.Description, "another")
	want(t, "Enabled after DisableKey", m.Enabled, false)
	want(t, "KeyState after DisableKey", m.KeyState, types.KeyStateDisabled)
	must(s.kms.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key.KeyId}))(t)
	m = must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	want(t, "KeyState after EnableKey", m.KeyState, types.KeyStateEnabled)
}

func keyDeletion(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	out := must(s.kms.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId, PendingWindowInDays: aws.Int32(7)}))(t)
	wantPtr(t, "ScheduleKeyDeletion KeyId", out.KeyId, *key.Arn)
	wantNear(t, "ScheduleKeyDeletion DeletionDate", out.DeletionDate, 7*day)
	want(t, "ScheduleKeyDeletion KeyState", out.KeyState, types.KeyStatePendingDeletion)
	wantPtr(t, "ScheduleKeyDeletion PendingWindowInDays", out.PendingWindowInDays, 7)
	m := must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	want(t, "KeyState", m.KeyState, types.KeyStatePendingDeletion)
	wantNear(t, "DeletionDate", m.DeletionDate, 7*day)
	cancelled := must(s.kms.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: key.KeyId}))(t)
	wantPtr(t, "CancelKeyDeletion KeyId", cancelled.KeyId, *key.Arn)
	m = must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	want(t, "KeyState after CancelKeyDeletion", m.KeyState, types.KeyStateDisabled)
	if m.DeletionDate != nil {
		t.Errorf("DeletionDate = %v after CancelKeyDeletion", m.DeletionDate)
	}
}

func aliases(t *testing.T, s *goSDK) {
	ctx := t.Context()
	one, two := s.createKey(t, nil), s.createKey(t, nil)
	name := aws.String("alias/clients/moved")
	must(s.kms.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: name, TargetKeyId: one.KeyId}))(t)
	m := must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: name}))(t).KeyMetadata
	wantPtr(t, "KeyId of the alias", m.KeyId, *one.KeyId)
	must(s.kms.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: name, TargetKeyId: two.Arn}))(t)
	list := must(s.kms.ListAliases(ctx, &kms.ListAliasesInput{KeyId: two.KeyId}))(t)
	want(t, "Truncated", list.Truncated, false)
	if len(list.Aliases) != 1 {
		t.Fatalf("ListAliases = %v, want one", list.Aliases)
	}
	a := list.Aliases[0]
	wantPtr(t, "AliasName", a.AliasName, *name)
	wantPtr(t, "AliasArn", a.AliasArn, s.k.arn(*name))
	wantPtr(t, "TargetKeyId", a.TargetKeyId, *two.KeyId)
	wantNear(t, "CreationDate", a.CreationDate, 0)
	wantNear(t, "LastUpdatedDate", a.LastUpdatedDate, 0)
	must(s.kms.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: name}))(t)
	want(t, "aliases after DeleteAlias", len(must(s.kms.ListAliases(ctx, &kms.ListAliasesInput{KeyId: two.KeyId}))(t).Aliases), 0)
}

func tags(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	must(s.kms.TagResource(ctx, &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{
		{TagKey: aws.String("team"), TagValue: aws.String("billing")}, {TagKey: aws.String("empty"), TagValue: aws.String("")},
	}}))(t)
	list := must(s.kms.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: key.KeyId}))(t)
	got := map[string]string{}
	for _, tag := range list.Tags {
		if tag.TagKey == nil || tag.TagValue == nil {
			t.Fatalf("ListResourceTags has a tag without key or value: %+v", tag)
		}
		got[*tag.TagKey] = *tag.TagValue
	}
	if wanted := map[string]string{"team": "billing", "empty": ""}; !maps.Equal(got, wanted) {
		t.Errorf("tags = %v, want %v", got, wanted)
	}
	must(s.kms.UntagResource(ctx, &kms.UntagResourceInput{KeyId: key.KeyId, TagKeys: []string{"team", "empty"}}))(t)
	list = must(s.kms.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: key.KeyId}))(t)
	want(t, "tags after UntagResource", len(list.Tags), 0)
}

func keyPolicy(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"all","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"kms:*","Resource":"*"}]}`
	must(s.kms.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key.KeyId, PolicyName: aws.String("default"), Policy: &policy}))(t)
	got := must(s.kms.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: key.KeyId, PolicyName: aws.String("default")}))(t)
	wantPtr(t, "Policy", got.Policy, policy)
	wantPtr(t, "PolicyName", got.PolicyName, "default")
	list := must(s.kms.ListKeyPolicies(ctx, &kms.ListKeyPoliciesInput{KeyId: key.KeyId}))(t)
	want(t, "PolicyNames", fmt.Sprint(list.PolicyNames), "[default]")
	want(t, "Truncated", list.Truncated, false)
}

func grants(t *testing.T, s *goSDK) {
	ctx := t.Context()
	user := s.user(t, "grantee", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}]}`)
	retirer := s.user(t, "retirer", allow("kms:ListRetirableGrants"))
	key := s.createKey(t, nil)
	byRetirer := kms.NewFromConfig(s.as(retirer.provider()))
	byUser := kms.NewFromConfig(s.as(user.provider()))
	made := must(s.kms.CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: key.KeyId, GranteePrincipal: &user.arn, RetiringPrincipal: &retirer.arn, Name: aws.String("g1"),
		Operations:  []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationGenerateDataKeyWithoutPlaintext, types.GrantOperationDescribeKey},
		Constraints: &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "1"}},
	}))(t)
	want(t, "length of GrantId", len(aws.ToString(made.GrantId)), 64)
	if aws.ToString(made.GrantToken) == "" {
		t.Error("GrantToken is empty")
	}
	must(byUser.Encrypt(ctx, &kms.EncryptInput{
		KeyId: key.Arn, Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": "1"}, GrantTokens: []string{*made.GrantToken},
	}))(t)
	_, err := byUser.Encrypt(ctx, &kms.EncryptInput{KeyId: key.Arn, Plaintext: []byte("x")})
	wantCode(t, "Encrypt outside the constraint", err, "AccessDeniedException")

	for what, list := range map[string][]types.GrantListEntry{
		"ListGrants":          must(s.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key.KeyId, GrantId: made.GrantId}))(t).Grants,
		"ListGrants of a who": must(s.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key.KeyId, GranteePrincipal: &user.arn}))(t).Grants,
		"ListRetirableGrants": must(byRetirer.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringPrincipal: &retirer.arn}))(t).Grants,
	} {
		if len(list) != 1 {
			t.Fatalf("%s = %v, want one", what, list)
		}
		g := list[0]
		wantPtr(t, what+" GrantId", g.GrantId, *made.GrantId)
		wantPtr(t, what+" KeyId", g.KeyId, *key.Arn)
		wantPtr(t, what+" Name", g.Name, "g1")
		wantPtr(t, what+" GranteePrincipal", g.GranteePrincipal, user.arn)
		wantPtr(t, what+" RetiringPrincipal", g.RetiringPrincipal, retirer.arn)
		wantPtr(t, what+" IssuingAccount", g.IssuingAccount, "arn:aws:iam::"+account+":root")
		wantNear(t, what+" CreationDate", g.CreationDate, 0)
		want(t, what+" Operations", fmt.Sprint(slices.Sorted(slices.Values(g.Operations))), "[DescribeKey Encrypt GenerateDataKeyWithoutPlaintext]")
		if g.Constraints == nil || !maps.Equal(g.Constraints.EncryptionContextEquals, map[string]string{"a": "1"}) {
			t.Errorf("%s Constraints = %+v", what, g.Constraints)
		}
	}
	must(byRetirer.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: made.GrantToken}))(t)
	second := must(s.kms.CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: key.KeyId, GranteePrincipal: &user.arn, Operations: []types.GrantOperation{types.GrantOperationDecrypt},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"b": "2"}},
	}))(t)
	left := must(s.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key.KeyId}))(t).Grants
	if len(left) != 1 || aws.ToString(left[0].GrantId) != *second.GrantId || left[0].Constraints == nil || left[0].Constraints.EncryptionContextSubset["b"] != "2" {
		t.Errorf("ListGrants after RetireGrant = %+v, want the second alone", left)
	}
	must(s.kms.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: key.KeyId, GrantId: second.GrantId}))(t)
	want(t, "grants after RevokeGrant", len(must(s.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key.KeyId}))(t).Grants), 0)
}

func encryption(t *testing.T, s *goSDK) {
	ctx := t.Context()
	one, two := s.createKey(t, nil), s.createKey(t, nil)
	about := map[string]string{"purpose": "test", "größe": "🔑"}
	for _, plaintext := range [][]byte{[]byte("x"), bytes.Repeat([]byte{0, 0xff, '"', '\\'}, 1024)} {
		sealed := must(s.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: one.KeyId, Plaintext: plaintext, EncryptionContext: about}))(t)
		wantPtr(t, "Encrypt KeyId", sealed.KeyId, *one.Arn)
		want(t, "Encrypt EncryptionAlgorithm", sealed.EncryptionAlgorithm, types.EncryptionAlgorithmSpecSymmetricDefault)
		moved := must(s.kms.ReEncrypt(ctx, &kms.ReEncryptInput{
			CiphertextBlob: sealed.CiphertextBlob, SourceEncryptionContext: about, SourceKeyId: one.KeyId, DestinationKeyId: two.Arn,
			DestinationEncryptionContext: map[string]string{"b": "2"},
		}))(t)
		wantPtr(t, "ReEncrypt SourceKeyId", moved.SourceKeyId, *one.Arn)
		wantPtr(t, "ReEncrypt KeyId", moved.KeyId, *two.Arn)
		wantPtr(t, "ReEncrypt SourceKeyMaterialId", moved.SourceKeyMaterialId, *one.CurrentKeyMaterialId)
		wantPtr(t, "ReEncrypt DestinationKeyMaterialId", moved.DestinationKeyMaterialId, *two.CurrentKeyMaterialId)
		want(t, "ReEncrypt SourceEncryptionAlgorithm", moved.SourceEncryptionAlgorithm, types.EncryptionAlgorithmSpecSymmetricDefault)
		want(t, "ReEncrypt DestinationEncryptionAlgorithm", moved.DestinationEncryptionAlgorithm, types.EncryptionAlgorithmSpecSymmetricDefault)
		for _, blob := range []struct {
			bytes   []byte
			context map[string]string
			key     *types.KeyMetadata
		}{{sealed.CiphertextBlob, about, one}, {moved.CiphertextBlob, map[string]string{"b": "2"}, two}} {
			opened := must(s.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob.bytes, EncryptionContext: blob.context}))(t)
			if !bytes.Equal(opened.Plaintext, plaintext) {
				t.Errorf("Decrypt returned %d bytes, not the %d that went in", len(opened.Plaintext), len(plaintext))
			}
			wantPtr(t, "Decrypt KeyId", opened.KeyId, *blob.key.Arn)
			wantPtr(t, "Decrypt KeyMaterialId", opened.KeyMaterialId, *blob.key.CurrentKeyMaterialId)
			want(t, "Decrypt EncryptionAlgorithm", opened.EncryptionAlgorithm, types.EncryptionAlgorithmSpecSymmetricDefault)
		}
	}
}

func dataKeys(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	about := map[string]string{"a": "1"}
	generated := must(s.kms.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: key.Arn, KeySpec: types.DataKeySpecAes256, EncryptionContext: about}))(t)
	wantPtr(t, "GenerateDataKey KeyId", generated.KeyId, *key.Arn)
	wantPtr(t, "GenerateDataKey KeyMaterialId", generated.KeyMaterialId, *key.CurrentKeyMaterialId)
	want(t, "length of the data key", len(generated.Plaintext), 32)
	opened := must(s.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: generated.CiphertextBlob, EncryptionContext: about, KeyId: key.Arn}))(t)
	want(t, "the data key decrypted is the one in clear", bytes.Equal(opened.Plaintext, generated.Plaintext), true)

	sealed := must(s.kms.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key.KeyId, NumberOfBytes: aws.Int32(17)}))(t)
	wantPtr(t, "GenerateDataKeyWithoutPlaintext KeyId", sealed.KeyId, *key.Arn)
	wantPtr(t, "GenerateDataKeyWithoutPlaintext KeyMaterialId", sealed.KeyMaterialId, *key.CurrentKeyMaterialId)
	opened = must(s.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}))(t)
	want(t, "length of the data key", len(opened.Plaintext), 17)
}

func random(t *testing.T, s *goSDK) {
	a := must(s.kms.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1024)}))(t)
	b := must(s.kms.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1024)}))(t)
	if len(a.Plaintext) != 1024 || len(b.Plaintext) != 1024 || bytes.Equal(a.Plaintext, b.Plaintext) {
		t.Errorf("GenerateRandom returned %d and %d bytes, want two times 1024 that differ", len(a.Plaintext), len(b.Plaintext))
	}
}

func rotation(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	must(s.kms.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: key.KeyId, RotationPeriodInDays: aws.Int32(180)}))(t)
	status := must(s.kms.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: key.KeyId}))(t)
	want(t, "KeyRotationEnabled", status.KeyRotationEnabled, true)
	wantPtr(t, "KeyId", status.KeyId, *key.Arn)
	wantPtr(t, "RotationPeriodInDays", status.RotationPeriodInDays, 180)
	wantNear(t, "NextRotationDate", status.NextRotationDate, 180*day)
	old := must(s.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")}))(t)
	rotated := must(s.kms.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key.KeyId}))(t)
	wantPtr(t, "RotateKeyOnDemand KeyId", rotated.KeyId, *key.Arn)
	m := must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	list := must(s.kms.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: key.KeyId, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial}))(t)
	if len(list.Rotations) != 2 {
		t.Fatalf("ListKeyRotations has %d entries, want 2", len(list.Rotations))
	}
	current, first := list.Rotations[0], list.Rotations[1]
	if *first.KeyMaterialId == *m.CurrentKeyMaterialId {
		current, first = first, current
	}
	wantPtr(t, "KeyMaterialId", current.KeyMaterialId, *m.CurrentKeyMaterialId)
	wantPtr(t, "KeyMaterialId of the first", first.KeyMaterialId, *key.CurrentKeyMaterialId)
	wantPtr(t, "KeyId", current.KeyId, *key.KeyId)
	want(t, "KeyMaterialState", current.KeyMaterialState, types.KeyMaterialStateCurrent)
	want(t, "KeyMaterialState of the first", first.KeyMaterialState, types.KeyMaterialStateNonCurrent)
	want(t, "RotationType", current.RotationType, types.RotationTypeOnDemand)
	wantNear(t, "RotationDate", current.RotationDate, 0)
	opened := must(s.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: old.CiphertextBlob}))(t)
	wantPtr(t, "KeyMaterialId of what was encrypted before", opened.KeyMaterialId, *key.CurrentKeyMaterialId)
	must(s.kms.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: key.KeyId}))(t)
	status = must(s.kms.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: key.KeyId}))(t)
	want(t, "KeyRotationEnabled after DisableKeyRotation", status.KeyRotationEnabled, false)
}

func lastUsage(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	unused := must(s.kms.GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: key.KeyId}))(t)
	wantPtr(t, "KeyId", unused.KeyId, *key.Arn)
	wantNear(t, "TrackingStartDate", unused.TrackingStartDate, 0)
	wantNear(t, "KeyCreationDate", unused.KeyCreationDate, 0)
	if unused.KeyLastUsage != nil && unused.KeyLastUsage.Timestamp != nil {
		t.Errorf("KeyLastUsage of a key that was not used = %+v", unused.KeyLastUsage)
	}
	must(s.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")}))(t)
	used := must(s.kms.GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: key.KeyId}))(t).KeyLastUsage
	if used == nil {
		t.Fatal("KeyLastUsage of a key that was used is missing")
	}
	want(t, "Operation", used.Operation, types.KeyLastUsageTrackingOperation("Encrypt"))
	wantNear(t, "Timestamp", used.Timestamp, 0)
	if aws.ToString(used.CloudTrailEventId) == "" || aws.ToString(used.KmsRequestId) == "" {
		t.Errorf("KeyLastUsage does not say which call it was: %+v", used)
	}
}
