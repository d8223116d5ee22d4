package authz

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryActionHasItsKeys(t *testing.T) {
	for a := range Actions() {
		if actionKeys[a] == nil {
			t.Errorf("%v has no row in actionKeys", a)
		}
		names := make(map[string]bool)
		for _, k := range ContextKeys(a) {
			if names[k.Name] || k.Name == "" || k.Type == 0 || k.Class == 0 || k.From == "" || k.Never {
				t.Errorf("%v has the key %+v, want a key once and in full", a, k)
			}
			names[k.Name] = true
		}
		for _, global := range []string{"aws:PrincipalArn", "aws:SourceIp", "aws:SecureTransport", "aws:CurrentTime", "aws:EpochTime", "aws:UserAgent", "aws:RequestedRegion"} {
			if !names[global] {
				t.Errorf("%v has no key %s, which every request has", a, global)
			}
		}
	}
	if ContextKeys(0) != nil || ContextKeys(actionEnd) != nil {
		t.Error("ContextKeys of no action is not nil")
	}
}

func TestKeysOfActions(t *testing.T) {
	tests := []struct {
		action Action
		has    []string
		hasNot []string
	}{
		{
			KMSDecrypt,
			[]string{"kms:EncryptionContext:${k}", "kms:EncryptionContextKeys", "kms:RequestAlias", "kms:KeySpec", "kms:ResourceAliases", "aws:ResourceTag/${k}", "kms:EncryptionAlgorithm"},
			[]string{"aws:RequestTag/${k}", "kms:ReEncryptOnSameKey", "iam:ResourceTag/${k}", "sts:ExternalId"},
		},
		{KMSReEncryptTo, []string{"kms:ReEncryptOnSameKey", "kms:EncryptionContext:${k}"}, nil},
		{KMSCreateKey, []string{"kms:KeySpec", "kms:MultiRegion", "aws:RequestTag/${k}", "aws:TagKeys", "kms:BypassPolicyLockoutSafetyCheck"}, []string{"kms:ResourceAliases", "aws:ResourceAccount"}},
		{KMSUntagResource, []string{"aws:TagKeys"}, []string{"aws:RequestTag/${k}"}},
		{KMSCreateGrant, []string{"kms:GrantOperations", "kms:GranteePrincipal", "kms:RetiringPrincipal", "kms:GrantConstraintType", "kms:GrantIsForAWSResource", "kms:EncryptionContext:${k}"}, nil},
		{IAMCreateUser, []string{"iam:PermissionsBoundary", "aws:RequestTag/${k}"}, []string{"iam:PolicyARN"}},
		{IAMAttachRolePolicy, []string{"iam:PolicyARN", "iam:ResourceTag/${k}", "iam:PermissionsBoundary"}, []string{"kms:KeySpec"}},
		{STSAssumeRole, []string{"sts:ExternalId", "sts:RoleSessionName", "sts:TransitiveTagKeys", "aws:ResourceTag/${k}"}, []string{"kms:KeySpec"}},
		{OrganizationsAttachPolicy, []string{"organizations:PolicyId", "organizations:PolicyType"}, nil},
	}
	for _, tt := range tests {
		var names []string
		for _, k := range ContextKeys(tt.action) {
			names = append(names, k.Name)
		}
		for _, n := range tt.has {
			if !slices.Contains(names, n) {
				t.Errorf("ContextKeys(%v) lacks %s", tt.action, n)
			}
		}
		for _, n := range tt.hasNot {
			if slices.Contains(names, n) {
				t.Errorf("ContextKeys(%v) has %s", tt.action, n)
			}
		}
	}
}

// TestEveryKeyOfTheContextIsRead fails if a key that can be set is in no row, or in that of another type.
func TestEveryKeyOfTheContextIsRead(t *testing.T) {
	kindOf := map[valueKind]KeyType{boolValue: BoolKey, numberValue: NumericKey}
	seen := map[ContextKey]bool{CtxKeySpec: true, CtxKeyUsage: true, CtxKeyOrigin: true, CtxMultiRegion: true, CtxTagKeys: true} // read by the way
	for k := range setKeys {
		s := setKeys[k]
		if s.kind == noValue {
			continue
		}
		if info := keyTable[k]; info.multi != (s.kind == listValue) || kindOf[s.kind] != 0 && info.kind != kindOf[s.kind] {
			t.Errorf("%s is read as %d, its type is %v", info.name, s.kind, info.kind)
		}
		seen[s.key] = true
	}
	for k := ContextKey(1); k < ctxEnd; k++ {
		if !seen[k] {
			t.Errorf("ContextKey %d is read by no condition key", k)
		}
	}
}

// TestKeysAreThereWhenTheyShould has, for each key, a request with it and what it is then; the empty request has none of them.
func TestKeysAreThereWhenTheyShould(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999e6, time.UTC)
	member := &Membership{Organization: "o-1", Path: "o-1/r-1/"}
	tags := NewPairs(map[string]string{"a": "1"})
	user := Caller{Kind: User, Account: "1", ID: "AIDA1", ARN: "arn:user", UserName: "alice", Tags: tags, SourceIdentity: "si", Membership: member}
	session := Caller{Kind: RoleSession, Account: "1", ID: "AROA1", ARN: "arn:session", RoleARN: "arn:role", SessionName: "s", Issued: at}
	mfa := Caller{Kind: User, Account: "1", ID: "AIDA1", Issued: at, MFA: at.Add(-90 * time.Second)}
	early := Caller{Kind: User, Issued: at, MFA: at.Add(time.Second)}
	root, web := Caller{Kind: Root, Account: "1", ID: "1", ARN: "arn:root"}, Caller{Kind: WebIdentity, ID: "arn:provider", ARN: "arn:provider"}
	key := Resource{Kind: Key, Account: "2", Tags: tags, Aliases: []string{"alias/b", "alias/a"}, KeySpec: "SYMMETRIC_DEFAULT", KeyUsage: "ENCRYPT_DECRYPT", KeyOrigin: "AWS_KMS", Membership: member}
	entity, none := Resource{Kind: IAMEntity, Account: "2", Tags: tags}, Resource{}
	x := &Context{
		Time: at, SourceIP: netip.MustParseAddr("::ffff:10.0.0.1"), UserAgent: "ua", Region: "local",
		EncryptionContext: NewPairs(map[string]string{"App": "1", "app": "2"}), RequestTags: tags, Claims: NewPairs(map[string]string{"idp.example:sub": "x"}),
	}
	created, untagged, other := &Context{}, &Context{}, &Context{}
	created.Set(CtxKeySpec, "RSA_2048")
	created.SetBool(CtxMultiRegion, true)
	untagged.SetList(CtxTagKeys, []string{"x", "y"})
	other.Set(CtxGrantOperations, "Decrypt")
	other.SetDate(CtxValidTo, at)
	other.SetNumber(CtxPendingWindowInDays, 7)
	other.Set(CtxRotationPeriodInDays, "365")
	tests := []struct {
		key  string
		c    *Caller
		r    *Resource
		x    *Context
		want string // of the values, joined by commas; "absent"
	}{
		{"aws:PrincipalArn", &user, &none, nil, "arn:user"},
		{"aws:PrincipalArn", &session, &none, nil, "arn:role"},
		{"aws:PrincipalArn", &root, &none, nil, "arn:root"},
		{"aws:PrincipalAccount", &root, &none, nil, "1"},
		{"aws:PrincipalAccount", &web, &none, nil, "absent"},
		{"aws:PrincipalType", &user, &none, nil, "User"},
		{"aws:PrincipalType", &session, &none, nil, "AssumedRole"},
		{"aws:PrincipalType", &root, &none, nil, "Account"},
		{"aws:PrincipalType", &web, &none, nil, "FederatedUser"},
		{"aws:userid", &user, &none, nil, "AIDA1"},
		{"aws:userid", &session, &none, nil, "AROA1:s"},
		{"aws:userid", &root, &none, nil, "1"},
		{"aws:userid", &web, &none, nil, "absent"},
		{"aws:username", &user, &none, nil, "alice"},
		{"aws:username", &session, &none, nil, "absent"},
		{"aws:PrincipalTag/A", &user, &none, nil, "1"},
		{"aws:PrincipalOrgID", &user, &none, nil, "o-1"},
		{"aws:PrincipalOrgID", &session, &none, nil, "absent"},
		{"aws:PrincipalOrgPaths", &user, &none, nil, "o-1/r-1/"},
		{"aws:TokenIssueTime", &session, &none, nil, "2026-01-02T03:04:05Z"},
		{"aws:TokenIssueTime", &user, &none, nil, "absent"},
		{"aws:MultiFactorAuthPresent", &user, &none, x, "absent"},
		{"aws:MultiFactorAuthPresent", &session, &none, x, "false"},
		{"aws:MultiFactorAuthPresent", &mfa, &none, x, "true"},
		{"aws:MultiFactorAuthAge", &mfa, &none, x, "90"},
		{"aws:MultiFactorAuthAge", &early, &none, x, "0"},
		{"aws:MultiFactorAuthAge", &mfa, &none, nil, "absent"},
		{"aws:MultiFactorAuthAge", &session, &none, x, "absent"},
		{"aws:SourceIdentity", &user, &none, nil, "si"},
		{"aws:SourceIp", &user, &none, x, "10.0.0.1"},
		{"aws:SecureTransport", &user, &none, x, "false"},
		{"aws:SecureTransport", &user, &none, created, "absent"},
		{"aws:CurrentTime", &user, &none, x, "2026-01-02T03:04:05Z"},
		{"aws:EpochTime", &user, &none, x, "1767323045"},
		{"aws:UserAgent", &user, &none, x, "ua"},
		{"aws:RequestedRegion", &user, &none, x, "local"},
		{"aws:ResourceAccount", &user, &key, x, "2"},
		{"aws:ResourceAccount", &user, &none, x, "absent"},
		{"aws:ResourceOrgID", &user, &key, x, "o-1"},
		{"aws:ResourceOrgPaths", &user, &key, x, "o-1/r-1/"},
		{"aws:ResourceTag/a", &user, &key, x, "1"},
		{"iam:ResourceTag/a", &user, &key, x, "absent"},
		{"iam:ResourceTag/a", &user, &entity, x, "1"},
		{"aws:RequestTag/a", &user, &none, x, "1"},
		{"aws:TagKeys", &user, &none, x, "a"},
		{"aws:TagKeys", &user, &none, untagged, "x,y"},
		{"kms:CallerAccount", &user, &key, nil, "1"},
		{"kms:KeySpec", &user, &key, created, "SYMMETRIC_DEFAULT"},
		{"kms:KeySpec", &user, &none, created, "RSA_2048"},
		{"kms:CustomerMasterKeySpec", &user, &none, created, "RSA_2048"},
		{"kms:CustomerMasterKeyUsage", &user, &key, nil, "ENCRYPT_DECRYPT"},
		{"kms:KeyOrigin", &user, &key, nil, "AWS_KMS"},
		{"kms:KeyUsage", &user, &none, created, "absent"},
		{"kms:MultiRegion", &user, &key, created, "false"},
		{"kms:MultiRegion", &user, &none, created, "true"},
		{"kms:MultiRegion", &user, &none, nil, "absent"},
		{"kms:ResourceAliases", &user, &key, nil, "alias/b,alias/a"},
		{"kms:EncryptionContext:aPP", &user, &key, x, "1,2"},
		{"kms:EncryptionContextKeys", &user, &key, x, "App,app"},
		{"kms:EncryptionContextKeys", &user, &key, created, "absent"},
		{"kms:GrantOperations", &user, &key, other, "absent"}, // it was given one value, and has lists
		{"kms:ValidTo", &user, &key, other, "2026-01-02T03:04:05Z"},
		{"kms:ValidTo", &user, &key, x, "absent"},
		{"kms:ScheduleKeyDeletionPendingWindowInDays", &user, &key, other, "7"},
		{"kms:RotationPeriodInDays", &user, &key, other, "absent"}, // it was given text, and has numbers
		{"kms:ViaService", &user, &key, x, "absent"},
	}
	for _, tt := range tests {
		k, member, ok := findKey(tt.key)
		if !ok {
			t.Fatalf("there is no key %s", tt.key)
		}
		q := request{caller: tt.c, resource: tt.r, context: tt.x}
		var v, nothing reading
		q.read(&v, k, member)
		got := strings.Join(v.texts(keyTable[k].kind), ",")
		if v.count == 0 {
			got = "absent"
		}
		if got != tt.want {
			t.Errorf("%s of a %s = %s, want %s", tt.key, tt.c.Kind.principalType(), got, tt.want)
		}
		empty := request{caller: &Caller{}, resource: &Resource{}}
		if empty.read(&nothing, k, member); nothing.count != 0 {
			t.Errorf("%s of an empty request is there", tt.key)
		}
	}
	var claim reading
	q := request{caller: &web, resource: &none, context: x}
	if q.read(&claim, keyClaim, "idp.example:sub"); claim.count != 1 || claim.at(0) != "x" {
		t.Errorf("the claim sub = %v, want x", claim.texts(StringKey))
	}
}

func TestConditionKeys(t *testing.T) {
	n, never := 0, 0
	for k := range ConditionKeys() {
		if got, ok := ConditionKey(strings.ToUpper(strings.Replace(k.Name, "${k}", "x", 1))); !ok || got != k {
			t.Errorf("ConditionKey(%s) = %+v, %v, want %+v", k.Name, got, ok, k)
		}
		if n++; k.Never {
			never++
		}
	}
	if n != int(keyEnd)-3 || never != len(neverPopulated) {
		t.Errorf("ConditionKeys yields %d keys, %d of them never there, want %d and %d", n, never, int(keyEnd)-3, len(neverPopulated))
	}
	for _, name := range []string{"", "aws:", "aws:PrincipalTag/", "kms:EncryptionContext:", ":", "aws:SourceI\u212a"} {
		if k, ok := ConditionKey(name); ok || k != (ContextKeyInfo{}) {
			t.Errorf("ConditionKey(%q) = %+v, want none", name, k)
		}
	}
}

// TestPairsFold has names that a wider folding of case would take for one another.
func TestPairsFold(t *testing.T) {
	p := NewPairs(map[string]string{"K": "1", "\u212a": "2", "É": "3", "é": "4", "ÿ": "5", "Ÿ": "6", "×": "7", "÷": "8", "İ": "9"})
	for _, tt := range []struct {
		name string
		want int
	}{{"k", 1}, {"É", 2}, {"ÿ", 1}, {"×", 1}, {"÷", 1}, {"i", 0}, {"\u212a", 1}} {
		if got := p.find(foldName(tt.name)); len(got) != tt.want {
			t.Errorf("%q is the name of %d pairs, want %d", tt.name, len(got), tt.want)
		}
	}
}
