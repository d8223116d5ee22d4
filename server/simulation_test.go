package server

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const homeAlice = "arn:aws:iam::" + homeAccount + ":user/alice"

// tried is the one result of a simulation.
func tried(t *testing.T, ask func(string, proto.Message) (proto.Message, error), r *iamv1.SimulatePrincipalPolicyRequest) *iamv1.EvaluationResult {
	t.Helper()
	out, err := ask(iamv1.IAMService_SimulatePrincipalPolicy_FullMethodName, r)
	if err != nil {
		t.Fatal(err)
	}
	results := out.(*iamv1.SimulatePrincipalPolicyResponse).GetEvaluationResults()
	if len(results) != 1 {
		t.Fatalf("a simulation of one action has %d results", len(results))
	}
	return results[0]
}

// Whatever a request says about owner and caller: what is stored of other accounts stays there.
func TestSimulationReadsNothingForeign(t *testing.T) {
	h := newHouse(t)
	role := h.foreignRole("deployer", secretTrust(h.foreign)).ARN
	k, _ := h.foreignTagged("alias/payroll")
	const tag = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Project":"x","aws:ResourceTag/Team":"x"},"ForAnyValue:StringEquals":{"kms:ResourceAliases":"x","aws:ResourceOrgPaths":"x"}}}}`
	for _, pair := range []struct{ action, there, absent string }{
		{"sts:AssumeRole", role, strings.Replace(role, "deployer", "nothere0", 1)},
		{"kms:Decrypt", k.ARN, strings.Replace(k.ARN, k.ID.String(), "00000000-1111-4222-8333-444444444444", 1)},
		{"kms:DescribeKey", homePlace.AliasARN(h.foreign, "alias/payroll"), homePlace.AliasARN(h.foreign, "alias/nothere")},
	} {
		for _, caller := range []string{"", "arn:aws:iam::" + h.foreign + ":user/someone", "arn:aws:iam::" + h.foreign + ":root", "arn:aws:sts::" + h.foreign + ":assumed-role/deployer/x"} {
			for _, owner := range []string{"", homeAccount, h.foreign} {
				try := func(arn string) string {
					r := tried(t, h.ask, iamv1.SimulatePrincipalPolicyRequest_builder{
						PolicySourceArn: homeAlice, CallerArn: caller, ResourceOwner: owner, ActionNames: []string{pair.action}, ResourceArns: []string{arn}, PolicyInputList: []string{tag},
					}.Build())
					return strings.ReplaceAll(fmt.Sprint(r), arn, pair.absent)
				}
				there, absent := try(pair.there), try(pair.absent)
				there, absent = strings.ReplaceAll(there, ":  ", ": "), strings.ReplaceAll(absent, ":  ", ": ")
				if strings.ReplaceAll(there, "  ", " ") != strings.ReplaceAll(absent, "  ", " ") {
					t.Errorf("%s as %q in the account %q of what is there:\n%s\nof what is not:\n%s", pair.action, caller, owner, there, absent)
				}
			}
		}
	}
}

// A simulation shows the policies of keys and roles to who may read them, and is of principals whom one may simulate.
func TestSimulationNeedsToRead(t *testing.T) {
	h := newHouse(t)
	bob := h.tenant(homeAccount, "bob", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"arn:aws:iam::*:user/${aws:username}"}]}`)
	key := h.must(kmsv1.KeyService_CreateKey_FullMethodName, kmsv1.CreateKeyRequest_builder{
		Policy: `{"Version":"2012-10-17","Statement":[{"Sid":"OnlyTheFlagship","Effect":"Allow","Principal":{"AWS":"` + homeAlice + `"},"Action":"kms:*","Resource":"*"}]}`,
		Tags:   []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "Project", TagValue: "secret-merger"}.Build()},
	}.Build()).(*kmsv1.CreateKeyResponse).GetKeyMetadata().GetArn()
	h.must(kmsv1.KeyService_CreateGrant_FullMethodName, kmsv1.CreateGrantRequest_builder{
		KeyId: key, GranteePrincipal: "arn:aws:iam::" + homeAccount + ":user/bob", Operations: []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_ENCRYPT}, Name: "secret-grant",
	}.Build())
	h.must(iamv1.IAMService_CreateRole_FullMethodName, iamv1.CreateRoleRequest_builder{RoleName: "deployer", Path: "/ops/", AssumeRolePolicyDocument: secretTrust(homeAlice)}.Build())
	role := "arn:aws:iam::" + homeAccount + ":role/ops/deployer"
	const tag = `{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Project":"x"}}}}`
	type asker = func(string, proto.Message) (proto.Message, error)
	for _, tt := range []struct {
		who    string
		ask    asker
		source string
		sees   bool
	}{{"bob", bob, "arn:aws:iam::" + homeAccount + ":user/bob", false}, {"alice", h.ask, "arn:aws:iam::" + homeAccount + ":user/bob", true}} {
		for action, arn := range map[string]string{"kms:Decrypt": key, "kms:Encrypt": key, "sts:AssumeRole": role} {
			text := fmt.Sprint(tried(t, tt.ask, iamv1.SimulatePrincipalPolicyRequest_builder{
				PolicySourceArn: tt.source, ActionNames: []string{action}, ResourceArns: []string{arn}, PolicyInputList: []string{tag},
			}.Build()))
			secrets := []string{"OnlyTheFlagship"}
			if arn == key {
				secrets = append(secrets, "secret-merger", "secret-grant")
			}
			for _, secret := range secrets {
				if strings.Contains(text, secret) != tt.sees {
					t.Errorf("%s of %s simulated by %s shows %q: %v, want %v", action, arn, tt.who, secret, !tt.sees, tt.sees)
				}
			}
			if !strings.Contains(text, "PolicyInputList.1") {
				t.Errorf("%s simulated by %s does not show the policy of the request: %s", action, tt.who, text)
			}
		}
	}
	for caller, want := range map[string]codes.Code{
		"": codes.OK, "arn:aws:iam::" + homeAccount + ":user/bob": codes.OK, "arn:aws:iam::" + h.foreign + ":user/bob": codes.OK,
		homeAlice: codes.PermissionDenied, "arn:aws:iam::" + homeAccount + ":user/nobody": codes.PermissionDenied, "arn:aws:iam::" + homeAccount + ":root": codes.PermissionDenied,
		role: codes.PermissionDenied, "arn:aws:sts::" + homeAccount + ":assumed-role/deployer/x": codes.PermissionDenied,
	} {
		_, err := bob(iamv1.IAMService_SimulatePrincipalPolicy_FullMethodName, iamv1.SimulatePrincipalPolicyRequest_builder{
			PolicySourceArn: "arn:aws:iam::" + homeAccount + ":user/bob", CallerArn: caller, ActionNames: []string{"kms:Decrypt"}, ResourceArns: []string{key},
		}.Build())
		if status.Code(err) != want {
			t.Errorf("bob simulates himself as %q: %v, want %v", caller, err, want)
		}
		if strings.Contains(caller, "assumed-role") && !strings.Contains(status.Convert(err).Message(), role) {
			t.Errorf("a session is not simulated as its role: %v", err)
		}
	}
}

// One request cannot make an answer of gigabytes.
func TestSimulationIsBounded(t *testing.T) {
	h := newHouse(t)
	var policies []string
	for i := range 16 {
		var statements []string
		for j := range 45 {
			statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"%d"}}}`, 45*i+j))
		}
		policies = append(policies, `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`)
	}
	request := func(values int, marker string) *iamv1.SimulateCustomPolicyRequest {
		r := iamv1.SimulateCustomPolicyRequest_builder{
			PolicyInputList: policies, ActionNames: []string{"kms:Decrypt", "kms:Encrypt", "kms:DescribeKey", "kms:CreateGrant"}, MaxItems: largestItems, Marker: marker,
			ContextEntries: []*iamv1.ContextEntry{iamv1.ContextEntry_builder{
				ContextKeyName: "kms:ResourceAliases", ContextKeyType: iamv1.ContextKeyType_CONTEXT_KEY_TYPE_STRING_LIST,
			}.Build()},
		}
		for i := range 10 {
			r.ResourceArns = append(r.ResourceArns, fmt.Sprintf("arn:aws:kms:local:%s:key/5cf518e6-1676-458b-ad96-7911f239be6%d", homeAccount, i))
		}
		list := make([]string, values)
		for i := range list {
			list[i] = strings.Repeat("v", 600)
		}
		r.ContextEntries[0].SetContextKeyValues(list)
		return r.Build()
	}
	if _, err := h.ask(iamv1.IAMService_SimulateCustomPolicy_FullMethodName, request(120, "")); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a simulation with 70 KiB of values: %v, want %v", err, codes.InvalidArgument)
	}
	seen, pages := map[string]bool{}, 0
	for marker := ""; pages == 0 || marker != ""; pages++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out := h.must(iamv1.IAMService_SimulateCustomPolicy_FullMethodName, request(100, marker)).(*iamv1.SimulateCustomPolicyResponse)
		runtime.ReadMemStats(&after)
		if n := proto.Size(out); n > 3<<19 {
			t.Errorf("an answer has %d bytes, want at most %d and a result more", n, simulatedPage)
		}
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 64 {
			t.Errorf("an answer takes %d MiB to make", n)
		}
		for _, r := range out.GetEvaluationResults() {
			if seen[r.GetEvalActionName()+r.GetEvalResourceName()] = true; !r.GetTruncated() {
				t.Errorf("a result with %d bytes is not said to be truncated", proto.Size(r))
			}
		}
		marker = out.GetMarker()
		if out.GetIsTruncated() != (marker != "") || len(out.GetEvaluationResults()) == 0 {
			t.Fatalf("a page with %d results is truncated %v, with the marker %q", len(out.GetEvaluationResults()), out.GetIsTruncated(), marker)
		}
	}
	if len(seen) != 40 || pages < 3 {
		t.Errorf("%d results on %d pages, want 40 on several", len(seen), pages)
	}
}

// An account has two simulations at a time, and each account its own.
func TestSimulationsAtATime(t *testing.T) {
	h := newHouse(t)
	carol := h.tenant(h.foreign, "carol", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`)
	request := iamv1.SimulateCustomPolicyRequest_builder{ActionNames: []string{"kms:Decrypt"}, PolicyInputList: []string{`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`}}.Build()
	name := iamv1.IAMService_SimulateCustomPolicy_FullMethodName
	check := func(what string, ask func(string, proto.Message) (proto.Message, error), want codes.Code) {
		t.Helper()
		if _, err := ask(name, request); status.Code(err) != want {
			t.Errorf("a simulation %s: %v, want %v", what, err, want)
		}
	}
	running := &h.s.simulations
	for range simulationsAtATime {
		check("while there is room", h.ask, codes.OK)
		if !running.begin(homeAccount) {
			t.Fatal("a simulation cannot begin")
		}
	}
	check("beside as many as there may be", h.ask, codes.ResourceExhausted)
	check("of another account", carol, codes.OK)
	running.end(homeAccount)
	check("after one has ended", h.ask, codes.OK)
	running.end(homeAccount)
	if len(running.running) != 0 {
		t.Errorf("simulations that have ended are counted: %v", running.running)
	}
}

const (
	simulatedAllow = iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_ALLOWED
	simulatedDeny  = iamv1.PolicyEvaluationDecisionType_POLICY_EVALUATION_DECISION_TYPE_IMPLICIT_DENY
)

// What requests of the key operations say, a simulation may choose, in the type that the condition key has.
func TestSimulationOfKeyOperations(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		action, condition, key, value string
		want                          iamv1.PolicyEvaluationDecisionType
	}{
		{"kms:ScheduleKeyDeletion", `"NumericGreaterThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}`, "kms:ScheduleKeyDeletionPendingWindowInDays", "30", simulatedAllow},
		{"kms:ScheduleKeyDeletion", `"NumericGreaterThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}`, "kms:ScheduleKeyDeletionPendingWindowInDays", "29", simulatedDeny},
		{"kms:EnableKeyRotation", `"NumericLessThanEquals":{"kms:RotationPeriodInDays":"365"}`, "kms:rotationperiodindays", "365", simulatedAllow},
		{"kms:EnableKeyRotation", `"NumericLessThanEquals":{"kms:RotationPeriodInDays":"365"}`, "kms:RotationPeriodInDays", "366", simulatedDeny},
		{"kms:ImportKeyMaterial", `"DateLessThan":{"kms:ValidTo":"2027-01-01"}`, "kms:ValidTo", "2026-12-31T23:59:59Z", simulatedAllow},
		{"kms:ImportKeyMaterial", `"DateLessThan":{"kms:ValidTo":"2027-01-01"}`, "kms:ValidTo", "2027-01-01T00:00:00Z", simulatedDeny},
		{"kms:Sign", `"StringLike":{"kms:SigningAlgorithm":"ECDSA_*"}`, "kms:SigningAlgorithm", "ECDSA_SHA_256", simulatedAllow},
		{"kms:Sign", `"StringLike":{"kms:SigningAlgorithm":"ECDSA_*"}`, "kms:SigningAlgorithm", "RSASSA_PSS_SHA_256", simulatedDeny},
		{"kms:GenerateMac", `"StringEquals":{"kms:MacAlgorithm":"HMAC_SHA_256"}`, "kms:MacAlgorithm", "HMAC_SHA_256", simulatedAllow},
		{"kms:GetParametersForImport", `"StringEquals":{"kms:WrappingKeySpec":"RSA_4096"}`, "kms:WrappingKeySpec", "RSA_2048", simulatedDeny},
	} {
		policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"` + tt.action + `","Resource":"*","Condition":{` + tt.condition + `}}}`
		out, err := h.ask(iamv1.IAMService_SimulateCustomPolicy_FullMethodName, iamv1.SimulateCustomPolicyRequest_builder{
			PolicyInputList: []string{policy}, ActionNames: []string{tt.action}, ResourceArns: []string{"arn:aws:kms:local:" + homeAccount + ":key/00000000-1111-4222-8333-444444444444"},
			ResourcePolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + homeAccount + `"},"Action":"kms:*","Resource":"*"}}`,
			CallerArn:      homeAlice,
			ContextEntries: []*iamv1.ContextEntry{iamv1.ContextEntry_builder{ContextKeyName: tt.key, ContextKeyValues: []string{tt.value}}.Build()},
		}.Build())
		if err != nil {
			t.Errorf("%s with %s = %s: %v", tt.action, tt.key, tt.value, err)
			continue
		}
		if r := out.(*iamv1.SimulateCustomPolicyResponse).GetEvaluationResults(); len(r) != 1 || r[0].GetEvalDecision() != tt.want {
			t.Errorf("%s with %s = %s: %v, want %v", tt.action, tt.key, tt.value, r, tt.want)
		}
	}
}
