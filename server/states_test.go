package server_test

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	"github.com/kmsd/kmsd/server"
)

//go:embed testdata/states.txt
var statesTable []byte

// stateRow is a row of testdata/states.txt.
type stateRow struct {
	operation string // "UpdateAlias to"
	keys      string
	cells     map[kmsv1.KeyState]string
}

// method is the full name of the row's RPC.
func (r stateRow) method(t testing.TB) string {
	t.Helper()
	name, _, _ := strings.Cut(r.operation, " ")
	for method := range server.Actions() {
		if short(method) == name && strings.HasPrefix(method, "/kmsd.kms.") {
			return method
		}
	}
	t.Fatalf("%s is no operation", name)
	return ""
}

var tableStates = []kmsv1.KeyState{
	kmsv1.KeyState_KEY_STATE_ENABLED, kmsv1.KeyState_KEY_STATE_DISABLED, kmsv1.KeyState_KEY_STATE_PENDING_DELETION, kmsv1.KeyState_KEY_STATE_PENDING_IMPORT,
}

func readStates(t testing.TB) (rows []stateRow) {
	t.Helper()
	for lines := bufio.NewScanner(bytes.NewReader(statesTable)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		columns := strings.Split(line, "|")
		if len(columns) != 2+len(tableStates) {
			t.Fatalf("%q has %d columns", line, len(columns))
		}
		row := stateRow{operation: strings.TrimSpace(columns[0]), keys: strings.TrimSpace(columns[1]), cells: map[kmsv1.KeyState]string{}}
		for i, s := range tableStates {
			row.cells[s] = strings.TrimSpace(columns[2+i])
		}
		rows = append(rows, row)
	}
	return rows
}

// ending is how a call ends: the error's code, reason and message, or OK.
type ending struct {
	code            codes.Code
	reason, message string
}

// of is what a cell says of a key: a number of the table's header.
func endingOf(t testing.TB, number, operation string, k *subject) ending {
	t.Helper()
	name, _, _ := strings.Cut(operation, " ")
	invalid := func(words string) ending {
		return ending{codes.FailedPrecondition, "KMSInvalidStateException", k.arn + " " + words + "."}
	}
	unsupported := func(words string) ending {
		return ending{codes.FailedPrecondition, "UnsupportedOperationException", k.arn + " " + words + "."}
	}
	usage := func(words string) ending {
		return ending{codes.FailedPrecondition, "InvalidKeyUsageException", k.arn + " " + words + "."}
	}
	switch number {
	case "OK":
		return ending{}
	case "1":
		return ending{codes.FailedPrecondition, "DisabledException", k.arn + " is disabled."}
	case "3":
		return invalid("is pending deletion")
	case "4":
		return invalid("is not pending deletion")
	case "5":
		return invalid("is pending import")
	case "7", "9":
		if number == "9" || k.spec == crypto.SpecSymmetricDefault {
			return unsupported("origin is " + k.origin + " which is not valid for this operation")
		}
		return unsupported("key spec is " + string(k.spec) + " which is not valid for this operation")
	case "10":
		return unsupported("key spec is " + string(k.spec) + " which is not valid for " + name)
	case "11":
		return usage("key spec is " + string(k.spec) + " which is not valid for " + name)
	case "12":
		return usage("key usage is " + string(k.usage) + " which is not valid for " + name)
	}
	if number == "13" {
		return ending{codes.InvalidArgument, "ValidationException", "An alias can be moved to a key of the same usage only, and both must be symmetric, both asymmetric or both HMAC keys."}
	}
	t.Fatalf("the table has the cell %q", number)
	return ending{}
}

// want is what the row says of a key in its present state.
func (r stateRow) want(t testing.TB, k *subject) ending {
	t.Helper()
	cell, other, either := strings.Cut(r.cells[k.state], " or ")
	symmetric := k.spec == crypto.SpecSymmetricDefault
	switch r.keys {
	case "any":
	case "rotation":
		if !symmetric || k.origin != "AWS_KMS" {
			cell = "7"
		}
	case "on demand":
		if !symmetric {
			cell = other
		}
	case "external":
		if k.origin != "EXTERNAL" && either {
			cell = other
		}
	case "symmetric":
		switch {
		case cell == "OK" && k.usage != crypto.UsageEncryptDecrypt:
			cell = "12"
		case cell == "OK" && !symmetric:
			cell = "11"
		}
	case "as symmetric":
		if cell == "OK" && !symmetric {
			cell = "13"
		}
	case "asymmetric":
		if cell == "OK" && !k.spec.Asymmetric() {
			cell = "10"
		}
	default:
		if cell == "OK" && crypto.Usage(r.keys) != k.usage {
			cell = "12"
		}
	}
	return endingOf(t, cell, r.operation, k)
}

// subject is a key that is asked about.
type subject struct {
	arn    string
	spec   crypto.Spec
	usage  crypto.Usage
	origin string
	state  kmsv1.KeyState

	alias, grantID string
	material       crypto.Secret // that was imported

	token, wrapped []byte // import parameters that were not used, and the material wrapped with them
}

func (k *subject) String() string {
	return fmt.Sprintf("%s %s %s, %s", k.origin, k.spec, k.usage, awsNameOf(kmsv1.KeyState_name, int32(k.state)))
}

// subjects are the keys that TestStates asks about, one of each spec, usage and origin. Those of RSA that kmsd makes, which takes long, have one usage each.
func subjects() (all []*subject) {
	for _, spec := range crypto.Specs() {
		for i, usage := range spec.Usages() {
			for _, origin := range []string{"AWS_KMS", "EXTERNAL"} {
				large := spec == crypto.SpecRSA3072 || spec == crypto.SpecRSA4096
				if large && origin == "AWS_KMS" && i > 0 {
					continue
				}
				all = append(all, &subject{spec: spec, usage: usage, origin: origin})
			}
		}
	}
	return all
}

// stateWalk takes keys through their life and asks everything on the way.
type stateWalk struct {
	*props
	rows []stateRow
	keys []*subject
	seen map[string]int // :: cell → how many calls it was compared with
}

// create makes a key, with an alias and a grant that is there as soon as the key can have one.
func (w *stateWalk) create(k *subject) {
	w.t.Helper()
	made := must[*kmsv1.CreateKeyResponse](w.props)(w.Root().Keys().CreateKey(w.t.Context(), kmsv1.CreateKeyRequest_builder{
		KeySpec: kmsv1.KeySpec(kmsv1.KeySpec_value["KEY_SPEC_"+string(k.spec)]), KeyUsage: kmsv1.KeyUsage(kmsv1.KeyUsage_value["KEY_USAGE_"+string(k.usage)]),
		Origin: kmsv1.KeyMaterialOrigin(kmsv1.KeyMaterialOrigin_value["KEY_MATERIAL_ORIGIN_"+k.origin]),
	}.Build()))
	k.arn, k.alias = made.GetKeyMetadata().GetArn(), usualAlias(made.GetKeyMetadata().GetArn())
	must[*kmsv1.CreateAliasResponse](w.props)(w.Root().Keys().CreateAlias(w.t.Context(), kmsv1.CreateAliasRequest_builder{AliasName: k.alias, TargetKeyId: k.arn}.Build()))
	if k.origin == "EXTERNAL" {
		k.material = materialOf(w.t, k.spec)
		w.load(k)
		w.importNow(k)
		if k.spec == crypto.SpecSymmetricDefault { // for RotateKeyOnDemand
			next := w.importOf(k.arn)
			next.SetImportType(newMaterial)
			must[*kmsv1.ImportKeyMaterialResponse](w.props)(w.Root().Keys().ImportKeyMaterial(w.t.Context(), next))
		}
	}
	k.grantID = must[*kmsv1.CreateGrantResponse](w.props)(w.Root().Keys().CreateGrant(w.t.Context(), kmsv1.CreateGrantRequest_builder{
		KeyId: k.arn, GranteePrincipal: "arn:aws:iam::" + kmstest.Account + ":root", Operations: []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_DESCRIBE_KEY},
	}.Build())).GetGrantId()
}

// load gets import parameters for a key and wraps its material with them.
func (w *stateWalk) load(k *subject) {
	w.t.Helper()
	got := must[*kmsv1.GetParametersForImportResponse](w.props)(w.Root().Keys().GetParametersForImport(w.t.Context(), k.parameters()))
	k.token, k.wrapped = got.GetImportToken(), wrapFor(w.t, keywrap.HPKEMLKEM768X25519, got, k.material)
}

func (w *stateWalk) importNow(k *subject) {
	w.t.Helper()
	must[*kmsv1.ImportKeyMaterialResponse](w.props)(w.Root().Keys().ImportKeyMaterial(w.t.Context(), k.imports()))
	k.token, k.wrapped = nil, nil
}

// each does something to all keys, or to those of an origin.
func (w *stateWalk) each(origin string, do func(k *subject)) {
	var wg sync.WaitGroup
	next := make(chan *subject)
	for range 4 {
		wg.Go(func() {
			for k := range next {
				do(k)
			}
		})
	}
	for _, k := range w.keys {
		if origin == "" || k.origin == origin {
			next <- k
		}
	}
	close(next)
	wg.Wait()
}

// to says in which state keys are.
func (w *stateWalk) to(origin string, s kmsv1.KeyState) {
	for _, k := range w.keys {
		if origin == "" || k.origin == origin {
			k.state = s
		}
	}
}

// compare asks everything about all keys, or about those of an origin.
func (w *stateWalk) compare(origin string) {
	w.t.Helper()
	type asked struct {
		k   *subject
		row stateRow
	}
	var all []asked
	var calls []call
	for _, k := range w.keys {
		if origin != "" && k.origin != origin {
			continue
		}
		for _, row := range w.rows {
			all = append(all, asked{k, row})
			calls = append(calls, call{method: row.method(w.t), body: marshal(w.t, row.request(w.props, k)), as: w.door.root})
		}
	}
	for i, got := range w.sendAll(w.t.Context(), calls) {
		k, row := all[i].k, all[i].row
		want := row.want(w.t, k)
		if got.err != nil || (ending{got.code, got.reason, got.message}) != want {
			w.t.Errorf("%s of %v: %v, want %v %s %q", row.operation, k, got, want.code, want.reason, want.message)
		}
		w.seen[fmt.Sprint(want.code, want.reason)]++
	}
}

// TestStates walks the table of operations and states with keys of every spec and origin, and compares code, reason and message of each answer.
func TestStates(t *testing.T) {
	notWhenShort(t)
	w := &stateWalk{props: newProps(newDoor(t, nil)), rows: readStates(t), keys: subjects(), seen: map[string]int{}}
	coversStates(t, w.rows)
	w.each("", w.create)
	if t.Failed() {
		return
	}
	w.each("EXTERNAL", w.load)
	w.to("", kmsv1.KeyState_KEY_STATE_ENABLED)
	w.compare("")

	keys := w.Root().Keys()
	w.each("EXTERNAL", func(k *subject) {
		must[*kmsv1.DeleteImportedKeyMaterialResponse](w.props)(keys.DeleteImportedKeyMaterial(t.Context(), kmsv1.DeleteImportedKeyMaterialRequest_builder{KeyId: k.arn}.Build()))
	})
	w.to("EXTERNAL", kmsv1.KeyState_KEY_STATE_PENDING_IMPORT)
	w.compare("EXTERNAL")
	w.each("EXTERNAL", func(k *subject) { w.importNow(k); w.load(k) })

	w.each("", func(k *subject) {
		must[*kmsv1.DisableKeyResponse](w.props)(keys.DisableKey(t.Context(), kmsv1.DisableKeyRequest_builder{KeyId: k.arn}.Build()))
	})
	w.to("", kmsv1.KeyState_KEY_STATE_DISABLED)
	w.compare("")

	w.each("", func(k *subject) {
		must[*kmsv1.ScheduleKeyDeletionResponse](w.props)(keys.ScheduleKeyDeletion(t.Context(), kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: k.arn}.Build()))
	})
	w.to("", kmsv1.KeyState_KEY_STATE_PENDING_DELETION)
	w.compare("")

	total := 0
	for _, n := range w.seen {
		total += n
	}
	t.Logf("%d keys, %d rows, %d calls: %v", len(w.keys), len(w.rows), total, w.seen)
	if len(w.seen) < 5 || total < 5000 {
		t.Errorf("%d calls with %d kinds of answers: too few", total, len(w.seen))
	}
}

// notOfOneKey are the operations of keys that have no row in the table, each with the reason.
var notOfOneKey = map[string]string{
	"CreateKey":           "makes a key",
	"ListKeys":            "is about all keys",
	"ListRetirableGrants": "is about all keys",
	"GenerateRandom":      "is about no key",
	"BatchCrypto":         "its items are the operations of the table",
	"StreamCrypto":        "its items are the operations of the table",
	"EnableKeyMaterial":   "is about one version: TestKeyMaterialStates",
	"DisableKeyMaterial":  "is about one version: TestKeyMaterialStates",
}

// coversStates checks that each operation of keys has a row.
func coversStates(t *testing.T, rows []stateRow) {
	t.Helper()
	have := map[string]bool{}
	for _, r := range rows {
		have[r.method(t)] = true
	}
	for _, method := range methods(t) {
		if strings.HasPrefix(method, "/kmsd.kms.") && have[method] == (notOfOneKey[short(method)] != "") {
			t.Errorf("%s: a row in testdata/states.txt is %v", short(method), have[method])
		}
	}
	if len(have) < 40 {
		t.Errorf("%d operations have rows: too few", len(have))
	}
}
