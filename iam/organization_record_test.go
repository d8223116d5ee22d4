package iam

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// A store that has accounts but no organization, as the first release made it, is given one when it is opened, once.
func TestOpenFoundsTheOrganization(t *testing.T) {
	w := newOrgWorld(t)
	w.swap(kindOrganization, organizationPath, nil)
	w.swap(kindMember, orgManagement, nil)
	w.open()
	s := w.Snapshot()
	o, root := s.Organization(), s.OrganizationRoot()
	if !organizationID.MatchString(o.ID) || !orgRootID.MatchString(root.ID) || o.ManagementAccount != orgManagement || root.Name != "Root" {
		t.Errorf("the organization is %+v with %+v", o, root)
	}
	m := s.Membership(orgManagement)
	if m == nil || !m.Management || m.Path != o.ID+"/"+root.ID+"/" || len(m.SCPs) != 2 || len(m.RCPs) != 2 {
		t.Fatalf("the management account's membership is %+v", m)
	}
	for _, target := range []string{root.ID, orgManagement} {
		for n, want := range firstPolicies() {
			got, _, err := s.PoliciesForTarget(target, orgPolicyTypes[n], "", MaxOrgPage)
			if err != nil || len(got) != 1 || got[0].ID != want || !got[0].AWSManaged {
				t.Errorf("PoliciesForTarget(%q, %v) = %+v, %v, want %s", target, orgPolicyTypes[n], got, err, want)
			}
		}
	}
	before := w.store.Generation()
	w.reopen()
	if after := w.store.Generation(); after != before {
		t.Errorf("opening again wrote: generation %d, was %d", after, before)
	}
}

// A record that does not load stops Open, and the error names it.
func TestOpenRefusesBadOrganizations(t *testing.T) {
	w := newOrgWorld(t)
	root := w.rootID()
	unit, account := w.mustUnit(root, "unit"), w.mustAccount("account").Account.ID
	inner := w.mustUnit(unit, "inner")
	policy := w.mustPolicy("policy", authz.ServiceControlPolicy, denyEncryptSCP)
	var stored [4]string
	for n, r := range []struct {
		kind storage.Kind
		path string
	}{{kindOrganization, organizationPath}, {kindUnit, unit}, {kindMember, account}, {kindOrgPolicy, policy}} {
		value := w.swap(r.kind, r.path, nil)
		w.swap(r.kind, r.path, value)
		stored[n] = string(value)
	}
	with := func(n int, old, next string) string {
		if !strings.Contains(stored[n], old) {
			t.Fatalf("%q is not in %s", old, stored[n])
		}
		return strings.Replace(stored[n], old, next, 1)
	}
	other := newUnitID(root)
	rows := []struct {
		name  string
		kind  storage.Kind
		path  string
		value string // empty: no record
	}{
		{"an organization of a later version", kindOrganization, organizationPath, with(0, `"version":1`, `"version":2`)},
		{"an organization under another path", kindOrganization, "other", stored[0]},
		{"an organization with a malformed id", kindOrganization, organizationPath, with(0, `"o-`, `"x-`)},
		{"a root with a policy that is not there", kindOrganization, organizationPath, with(0, FullAWSAccessID, "p-AAAAAAAA")},
		{"a unit under another id", kindUnit, other, stored[1]},
		{"a unit with a malformed name", kindUnit, unit, with(1, `"unit"`, `"unit "`)},
		{"a unit whose parent is not there", kindUnit, unit, with(1, root, "r-zzzz")},
		{"a unit below itself", kindUnit, unit, with(1, root, inner)},
		{"a unit with the name of another", kindUnit, other, strings.Replace(with(1, `"unit"`, `"UNIT"`), unit, other, 1)},
		{"a unit with policies out of order", kindUnit, unit, with(1, `["p-FullAWSAccess","p-RCPFullAWSAccess"]`, `["p-RCPFullAWSAccess","p-FullAWSAccess"]`)},
		{"a unit with a policy twice", kindUnit, unit, with(1, `["p-FullAWSAccess"`, `["p-FullAWSAccess","p-FullAWSAccess"`)},
		{"a unit with an unknown member", kindUnit, unit, with(1, "{", `{"admin":true,`)},
		{"a unit that is gone under another one", kindUnit, unit, ""},
		{"an account that is gone", kindAccount, account, ""},
		{"an account that is in no organization", kindMember, account, ""},
		{"an account under an account", kindMember, account, with(2, root, orgManagement)},
		{"an account closed at no time", kindMember, account, with(2, `"policies"`, `"closed":"0001-01-01T00:00:00Z","policies"`)},
		{"an account with a malformed email", kindMember, account, with(2, `"created"`, `"email":"x","created"`)},
		{"a policy under another id", kindOrgPolicy, "p-zzzzzzzz", stored[3]},
		{"a policy with the id of AWS's", kindOrgPolicy, FullAWSAccessID, with(3, policy, FullAWSAccessID)},
		{"a policy of an unknown type", kindOrgPolicy, policy, with(3, "service_control_policy", "tag_policy")},
		{"a policy with a malformed description", kindOrgPolicy, policy, with(3, `"description":""`, `"description":"\u0000"`)},
		{"a policy with the name of another", kindOrgPolicy, "p-zzzzzzzz", strings.Replace(with(3, `"policy"`, `"Policy"`), policy, "p-zzzzzzzz", 1)},
		{"a policy that is empty", kindOrgPolicy, policy, "{}"},
	}
	for _, r := range rows {
		var value []byte
		if r.value != "" {
			value = []byte(r.value)
		}
		old := w.swap(r.kind, r.path, value)
		_, err := Open(Config{Store: w.store})
		w.swap(r.kind, r.path, old)
		switch {
		case err == nil:
			t.Errorf("%s: Open succeeds", r.name)
		case !strings.Contains(err.Error(), "record "):
			t.Errorf("%s: Open = %v, which does not name a record", r.name, err)
		}
	}
	w.reopen()
}

// The management account cannot have been closed.
func TestOpenRefusesClosedManagement(t *testing.T) {
	w := newOrgWorld(t)
	old := w.swap(kindMember, orgManagement, []byte("x"))
	value := strings.Replace(string(old), `"policies"`, `"closed":"2026-11-23T00:00:00Z","policies"`, 1)
	w.swap(kindMember, orgManagement, []byte(value))
	if _, err := Open(Config{Store: w.store}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Open = %v, want that it is closed", err)
	}
	w.swap(kindMember, orgManagement, old)
}

// A stored policy that does not parse denies what it is attached to, and is told; the others hold as ever.
func TestUnusableOrgPolicy(t *testing.T) {
	w := newOrgWorld(t)
	bound, free := w.mustAccount("bound"), w.mustAccount("free")
	policy := w.mustPolicy("policy", authz.ServiceControlPolicy, allowKMSSCP)
	w.mustAttach(policy, bound.Account.ID)
	value := w.swap(kindOrgPolicy, policy, []byte("x"))
	w.swap(kindOrgPolicy, policy, []byte(strings.Replace(string(value), "2012-10-17", "2099-10-17", 1)))
	w.open()
	s := w.Snapshot()
	list := s.UnusablePolicies()
	if len(list) != 1 || list[0].Name != policy || list[0].Owner != s.OrgPolicyARN(policy) || list[0].Kind != authz.ServiceControlPolicy || list[0].Err == nil {
		t.Errorf("UnusablePolicies = %+v, want %s", list, policy)
	}
	for id, want := range map[*CreatedAccount]authz.Verdict{&bound: authz.Deny, &free: authz.Allow} {
		if d := decide(w.caller(id.RootKey.ID), orgKey(t, s, id.Account.ID)); d.Verdict != want {
			t.Errorf("%s: %+v, want %v", id.Account.Name, d, want)
		}
	}
	if err := w.updatePolicy(UpdateOrgPolicy{ID: policy, Content: allowKMSSCP}); err != nil {
		t.Fatal(err)
	}
	if list := w.Snapshot().UnusablePolicies(); len(list) != 0 {
		t.Errorf("after an update, UnusablePolicies = %+v", list)
	}
	if d := decide(w.caller(bound.RootKey.ID), orgKey(t, w.Snapshot(), bound.Account.ID)); d.Verdict != authz.Allow {
		t.Errorf("after an update: %+v", d)
	}
}

// A change whose records cannot be written leaves the organization as it was.
func TestOrganizationUnwritten(t *testing.T) {
	w := newOrgWorld(t)
	w.mustUnit(w.rootID(), "unit")
	before := orgDump(w.Snapshot())
	broken := errors.New("broken")
	err := w.update("breaking", nil, func(next *Snapshot, tx *storage.Tx) error {
		o := *next.organization
		n := o.root.clone()
		n.policies = []string{FullAWSAccessID}
		o.put(n)
		o.endEra()
		next.organization = &o
		next.Membership(orgManagement)
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("update = %v", err)
	}
	if after := orgDump(w.Snapshot()); !slices.Equal(before, after) {
		t.Errorf("the organization changed:\n%q\nwas\n%q", after, before)
	}
}

// What parses prints back to the same bytes, and is within the forms.
func FuzzOrganizationRecords(f *testing.F) {
	created := `"created":"2026-11-23T00:00:00Z"`
	f.Add(uint8(0), []byte(`{"version":1,"id":"o-aaaaaaaaaa","root":"r-aaaa",`+created+`,"policies":["p-FullAWSAccess"]}`))
	f.Add(uint8(1), []byte(`{"version":1,"id":"ou-aaaa-aaaaaaaa","parent":"r-aaaa","name":"x",`+created+`,"policies":null}`))
	f.Add(uint8(2), []byte(`{"version":1,"id":"111122223333","parent":"r-aaaa","name":"x","email":"a@b.cd","tags":{"a":"b"},`+created+`,"closed":"2026-11-23T00:00:00Z","policies":[]}`))
	f.Add(uint8(3), []byte(`{"version":1,"id":"p-aaaaaaaa","type":"service_control_policy","name":"x","description":"","document":"{}",`+created+`,"updated":"2026-11-23T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		path := idIn(data)
		switch kind % 4 {
		case 0:
			if o, err := decodeOrganization(organizationPath, data); err == nil && !orgRootID.MatchString(o.root.id) {
				t.Errorf("a root %q", o.root.id)
			}
		case 1:
			if n, err := decodeUnit(path, data); err == nil && (!unitID.MatchString(n.id) || checkOrgName("", n.name, maxUnitName) != nil) {
				t.Errorf("a unit %q named %q", n.id, n.name)
			}
		case 2:
			if n, err := decodeMember(path, data); err == nil && (!accountID.MatchString(n.id) || checkOrgName("", n.name, maxAccountName) != nil) {
				t.Errorf("an account %q named %q", n.id, n.name)
			}
		case 3:
			if p, fault, err := decodeOrgPolicy(path, data); err == nil && (string(encodeOrgPolicy(p)) != string(data) || p.compiled == nil || (fault != nil) != (p.compiled.Statements() == 0)) {
				t.Errorf("a policy %+v with fault %v prints as %s", p, fault, encodeOrgPolicy(p))
			}
		}
	})
}

// idIn returns the first member "id" of a record, as a path.
func idIn(data []byte) string {
	_, rest, _ := strings.Cut(string(data), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// The names of the organization are unique without regard to case, and have no other variants.
func TestOrganizationNamesHaveNoVariants(t *testing.T) {
	w := newOrgWorld(t)
	const name = "Kiosk service"
	unit := w.mustUnit(w.rootID(), name)
	policy := w.mustPolicy(name, authz.ServiceControlPolicy, denyEncryptSCP)
	variants := map[string]error{
		"kiosk service": nil, "KIOSK SERVICE": nil, "kIOSK sERVICE": nil, name: nil, // the same
		"\u212aiosk service": ErrValidation, "Kio\u017fk service": ErrValidation, // Kelvin sign, long s
		"Ｋiosk service": ErrValidation, "Кiosk service": ErrValidation, // full width, Cyrillic
		"Kiosk\u00a0service": ErrValidation, "Kiosk\u200bservice": ErrValidation, "Kiosk\tservice": ErrValidation, "Kiosk  service": ErrValidation,
		" Kiosk service": ErrValidation, "Kiosk service ": ErrValidation, "Kiosk service\n": ErrValidation, "Kiosk service\x00": ErrValidation,
		"\ufeffKiosk service": ErrValidation, "Kio\u0301sk service": ErrValidation, "Kiosk\xff": ErrValidation, "": ErrValidation,
	}
	for _, variant := range slices.Sorted(maps.Keys(variants)) {
		ofUnit, ofPolicy := variants[variant], variants[variant]
		if ofUnit == nil {
			ofUnit, ofPolicy = ErrDuplicateOrganizationalUnit, ErrDuplicateOrgPolicy
		}
		if _, err := w.createUnit(w.rootID(), variant); !errors.Is(err, ofUnit) {
			t.Errorf("CreateOrganizationalUnit(%q) = %v, want %v", variant, err, ofUnit)
		}
		if _, err := w.createPolicy(variant, authz.ServiceControlPolicy, denyEncryptSCP); !errors.Is(err, ofPolicy) {
			t.Errorf("CreateOrgPolicy(%q) = %v, want %v", variant, err, ofPolicy)
		}
	}
	if err := w.renameUnit(unit, "KIOSK SERVICE"); err != nil {
		t.Errorf("renaming a unit to its own name in another case = %v", err)
	}
	if err := w.updatePolicy(UpdateOrgPolicy{ID: policy, Name: "KIOSK SERVICE"}); err != nil {
		t.Errorf("renaming a policy to its own name in another case = %v", err)
	}
	if _, err := w.createPolicy(name, authz.ResourceControlPolicy, denyEncryptRCP); err != nil {
		t.Errorf("a policy of the other type by the same name = %v", err)
	}
}

// Ids in another spelling are refused or are nobody's.
func TestOrganizationIDsHaveNoVariants(t *testing.T) {
	w := newOrgWorld(t)
	unit, account := w.mustUnit(w.rootID(), "unit"), w.mustAccount("account").Account.ID
	policy := w.mustPolicy("policy", authz.ServiceControlPolicy, denyEncryptSCP)
	s := w.Snapshot()
	for _, variant := range []func(string) string{
		strings.ToUpper, func(id string) string { return id + " " }, func(id string) string { return " " + id }, func(id string) string { return id + "\n" },
		func(id string) string { return id + "\x00" }, func(id string) string { return id + "/" }, func(id string) string { return id + "\u200b" },
		func(id string) string { return strings.Replace(id, "-", "\u2010", 1) }, func(id string) string { return id[:len(id)-1] },
		func(id string) string { return strings.Replace(id, "1", "\u0661", 1) }, func(id string) string { return "0" + id },
	} {
		for _, id := range []string{unit, account, policy, s.OrganizationRoot().ID} {
			v := variant(id)
			if v == id {
				continue
			}
			if _, err := s.OrganizationalUnit(v); err == nil {
				t.Errorf("OrganizationalUnit(%q) is found", v)
			}
			if _, err := s.OrgAccount(v); err == nil || s.Membership(v) != nil {
				t.Errorf("OrgAccount(%q) is found", v)
			}
			if _, err := s.OrgPolicy(v); err == nil {
				t.Errorf("OrgPolicy(%q) is found", v)
			}
			if err := w.attach(policy, v); !errors.Is(err, ErrValidation) && !errors.Is(err, ErrTargetNotFound) {
				t.Errorf("AttachOrgPolicy to %q = %v", v, err)
			}
			if err := w.attach(v, unit); !errors.Is(err, ErrValidation) && !errors.Is(err, ErrOrgPolicyNotFound) {
				t.Errorf("AttachOrgPolicy of %q = %v", v, err)
			}
		}
	}
}

// FuzzOrgName holds that two names that are accepted are the same to the organization only if they are the same ASCII
// but for case.
func FuzzOrgName(f *testing.F) {
	f.Add("Kiosk", "\u212aiosk")
	f.Add("a b", "a  b")
	f.Fuzz(func(t *testing.T, a, b string) {
		if checkOrgName("", a, maxUnitName) != nil || checkOrgName("", b, maxUnitName) != nil {
			return
		}
		if same := strings.EqualFold(a, b); same != (fold(a) == fold(b)) || same && len(a) != len(b) {
			t.Errorf("%q and %q are the same: %v", a, b, same)
		}
		if fmt.Sprintf("%+q", a) != fmt.Sprintf("%q", a) || strings.TrimSpace(a) != a {
			t.Errorf("%q is accepted", a)
		}
	})
}
