package keystore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	"github.com/kmsd/kmsd/storage"
)

func user(name string) authz.Principal {
	return authz.Principal{Text: "arn:aws:iam::" + testAccount + ":user/" + name, Level: authz.DirectLevel, Account: testAccount, ID: "AIDA" + strings.ToUpper(name)}
}

// wanted is a grant that keeps all rules.
func wanted(change func(*authz.KeyGrant)) *authz.KeyGrant {
	g := &authz.KeyGrant{Grantee: user("alice"), Actions: []authz.Action{authz.KMSDecrypt}}
	if change != nil {
		change(g)
	}
	return g
}

func (f *fixture) toCreateGrant(k *Key) authz.Grant { return f.onKey(authz.KMSCreateGrant, k) }

func (f *fixture) toRevoke(k *Key) authz.Grant { return f.onKey(authz.KMSRevokeGrant, k) }

func (f *fixture) toRetire(k *Key, g *authz.KeyGrant) authz.Grant {
	f.t.Helper()
	permission, d := authz.Authorize(f.root, authz.KMSRetireGrant, &k.Resource, &authz.Context{Time: time.Now(), KeyGrant: g})
	if d.Verdict != authz.Allow {
		f.t.Fatalf("root is denied kms:RetireGrant: %v", d.Reason)
	}
	return permission
}

func (f *fixture) mustGrant(k *Key, change func(*authz.KeyGrant)) *authz.KeyGrant {
	f.t.Helper()
	g, _, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(change))
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

func (f *fixture) grantIDs(k *Key) []string {
	f.t.Helper()
	page, _ := f.now(k).Grants("", "", 1000)
	return idsOf(page)
}

func idsOf(page []*authz.KeyGrant) []string {
	ids := []string{}
	for _, g := range page {
		ids = append(ids, g.ID)
	}
	return ids
}

func TestGrantSurvivesReopening(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	want := f.mustGrant(k, func(g *authz.KeyGrant) {
		g.Name, g.Retiring, g.Expires = "n/a:b_c-d", user("bob"), time.Now().Add(time.Hour)
		g.Grantee = authz.Principal{Text: "arn:aws:iam::444455556666:role/r", Level: authz.RoleLevel, Account: "444455556666", ID: "AROAR"}
		g.Actions = []authz.Action{authz.KMSRetireGrant, authz.KMSEncrypt, authz.KMSRetireGrant}
		g.Subset = authz.NewPairs(map[string]string{"app": "x", "App": "<&>ÿ"})
	})
	if !slices.Equal(want.Actions, []authz.Action{authz.KMSEncrypt, authz.KMSRetireGrant}) {
		t.Errorf("operations = %v, want them in order and once", want.Actions)
	}
	if want.Issuer != testAccount || want.IssuedBy != f.root.ID || want.Created.IsZero() || len(want.ID) != 64 {
		t.Errorf("grant = %+v: issuer, time or id is missing", want)
	}
	f.reopen()
	got, ok := f.now(k).Grant(want.ID)
	if !ok || string(mustJSON(recordOf(got))) != string(mustJSON(recordOf(want))) || got.ID != want.ID {
		t.Errorf("after reopening grant = %+v, want %+v", got, want)
	}
	if n := f.now(k).Resource.Grants.Len(); n != 1 {
		t.Errorf("authz sees %d grants, want 1", n)
	}
}

// The grant owns what it is made of: a caller that reuses its memory changes nothing.
func TestGrantSharesNothingWithItsRequest(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	want := wanted(func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"a": "b"}) })
	g, _, err := f.CreateGrant(f.toCreateGrant(k), k.ID, want)
	if err != nil {
		t.Fatal(err)
	}
	want.Actions[0] = authz.KMSEncrypt
	want.Equals.Set(map[string]string{"x": "y"})
	for name, value := range g.Equals.All {
		if name != "a" || value != "b" {
			t.Errorf("constraint = %s, %s after the request's memory changed, want a, b", name, value)
		}
	}
	if g.Actions[0] != authz.KMSDecrypt {
		t.Errorf("operation = %v after the request's memory changed", g.Actions[0])
	}
}

func TestCreateGrantRepeated(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	expires := time.Now().Add(time.Hour)
	named := func(g *authz.KeyGrant) {
		g.Name, g.Retiring, g.Expires, g.Actions = "n", user("bob"), expires, []authz.Action{authz.KMSEncrypt, authz.KMSDecrypt}
		g.Equals = authz.NewPairs(map[string]string{"a": "1", "b": "2"})
	}
	first, token, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(named))
	if err != nil {
		t.Fatal(err)
	}
	f.reopen()
	again, other, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(func(g *authz.KeyGrant) { named(g); slices.Reverse(g.Actions) }))
	if err != nil || again.ID != first.ID || other == token {
		t.Errorf("repeated: grant %v, %v with the same token: %v; want %v and another token", again, err, other == token, first.ID)
	}
	dry, noToken, err := f.DryRun().CreateGrant(f.toCreateGrant(k), k.ID, wanted(named))
	if !errors.Is(err, ErrDryRun) || dry.ID != first.ID || noToken != "" {
		t.Errorf("repeated in a dry run: grant %v, token %q, %v; want %v, no token and ErrDryRun", dry, noToken, err, first.ID)
	}
	differences := map[string]func(*authz.KeyGrant){
		"no name":                  func(g *authz.KeyGrant) { g.Name = "" },
		"another name":             func(g *authz.KeyGrant) { g.Name = "N" },
		"another grantee":          func(g *authz.KeyGrant) { g.Grantee = user("carol") },
		"a grantee made again":     func(g *authz.KeyGrant) { g.Grantee.ID = "AIDAOTHER" },
		"no retiring principal":    func(g *authz.KeyGrant) { g.Retiring = authz.Principal{} },
		"another operation":        func(g *authz.KeyGrant) { g.Actions = []authz.Action{authz.KMSEncrypt} },
		"another end":              func(g *authz.KeyGrant) { g.Expires = expires.Add(1) },
		"no end":                   func(g *authz.KeyGrant) { g.Expires = time.Time{} },
		"another constraint":       func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"a": "1", "b": "3"}) },
		"another kind of the same": func(g *authz.KeyGrant) { g.Equals, g.Subset = authz.Pairs{}, g.Equals },
	}
	for name, change := range differences {
		g := f.mustGrant(k, func(g *authz.KeyGrant) { named(g); change(g) })
		if g.ID == first.ID {
			t.Errorf("with %s CreateGrant returned the same grant", name)
		}
	}
	if err := f.RevokeGrant(f.toRevoke(k), k.ID, first.ID); err != nil {
		t.Fatal(err)
	}
	if g := f.mustGrant(k, named); g.ID == first.ID {
		t.Error("a repetition after the grant was revoked returned it")
	}
	f.root.ID, f.root.Kind = "AIDAOTHER", authz.User
	f.root.Identity = []*authz.Policy{allowAll(t)}
	if g := f.mustGrant(k, named); g.ID == first.ID {
		t.Error("another principal got the same grant")
	}
	if got, want := len(f.grantIDs(k)), len(differences)+2; got != want {
		t.Errorf("the key has %d grants, want %d", got, want)
	}
}

func allowAll(t testing.TB) *authz.Policy {
	t.Helper()
	p, err := authz.Parse(authz.IdentityPolicy, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGrantRules(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	pairs := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint(i)] = "v"
		}
		return m
	}
	for name, tt := range map[string]struct {
		change func(*authz.KeyGrant)
		want   error
	}{
		"the longest name":             {func(g *authz.KeyGrant) { g.Name = strings.Repeat("a", 256) }, nil},
		"a name too long":              {func(g *authz.KeyGrant) { g.Name = strings.Repeat("a", 257) }, authz.ErrInvalidGrant},
		"a name with a space":          {func(g *authz.KeyGrant) { g.Name = "a b" }, authz.ErrInvalidGrant},
		"a name beyond ASCII":          {func(g *authz.KeyGrant) { g.Name = "ä" }, authz.ErrInvalidGrant},
		"no grantee":                   {func(g *authz.KeyGrant) { g.Grantee = authz.Principal{} }, authz.ErrInvalidGrant},
		"a retiring principal unbound": {func(g *authz.KeyGrant) { g.Retiring.Text = "x" }, authz.ErrInvalidGrant},
		"no operations":                {func(g *authz.KeyGrant) { g.Actions = nil }, authz.ErrInvalidGrant},
		"an operation of no grant":     {func(g *authz.KeyGrant) { g.Actions = []authz.Action{authz.KMSPutKeyPolicy} }, authz.ErrInvalidGrant},
		"an end in the past":           {func(g *authz.KeyGrant) { g.Expires = time.Now().Add(-time.Hour) }, authz.ErrInvalidGrant},
		"an end in the year 10000":     {func(g *authz.KeyGrant) { g.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, authz.ErrInvalidGrant},
		"eight pairs":                  {func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(pairs(8)) }, nil},
		"nine pairs":                   {func(g *authz.KeyGrant) { g.Subset = authz.NewPairs(pairs(9)) }, authz.ErrInvalidGrant},
		"both constraints":             {func(g *authz.KeyGrant) { g.Equals, g.Subset = authz.NewPairs(pairs(1)), authz.NewPairs(pairs(1)) }, authz.ErrInvalidGrant},
		"a value too long":             {func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"a": strings.Repeat("ä", 385)}) }, authz.ErrInvalidGrant},
		"a value that is not UTF-8":    {func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"a": "\xff"}) }, crypto.ErrContext},
		"a pair without a name":        {func(g *authz.KeyGrant) { g.Equals = authz.NewPairs(map[string]string{"": "a"}) }, authz.ErrInvalidGrant},
	} {
		g, token, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(tt.change))
		if !errors.Is(err, tt.want) || (err == nil) != (g != nil) || (err == nil) != (token != "") {
			t.Errorf("CreateGrant with %s = %v, %q, %v, want %v", name, g, token, err, tt.want)
		}
	}
	f.reopen()
	if n := len(f.grantIDs(k)); n != 2 {
		t.Errorf("the key has %d grants, want the two that are right", n)
	}
}

func TestGrantsOfADisabledKey(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	one, two := f.mustGrant(k, nil), f.mustGrant(k, nil)
	must[*Key](t)(f.Disable(f.onKey(authz.KMSDisableKey, k), k.ID))
	if _, _, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(nil)); !errors.Is(err, ErrDisabled) {
		t.Errorf("CreateGrant on a disabled key = %v, want ErrDisabled", err)
	}
	if err := f.RevokeGrant(f.toRevoke(k), k.ID, one.ID); err != nil {
		t.Errorf("RevokeGrant on a disabled key = %v", err)
	}
	if err := f.RetireGrant(f.toRetire(f.now(k), two), k.ID, two.ID); err != nil {
		t.Errorf("RetireGrant on a disabled key = %v", err)
	}
	f.reopen()
	if ids := f.grantIDs(k); len(ids) != 0 || f.now(k).Resource.Grants.Len() != 0 {
		t.Errorf("grants %v are left", ids)
	}
}

func TestRemovingGrantsThatAreNot(t *testing.T) {
	f := newFixture(t)
	k, other := f.mustCreate(), f.mustCreate()
	g := f.mustGrant(k, nil)
	for id, want := range map[string]error{
		strings.Repeat("0", 64): ErrNotFound, "": ErrInvalidGrantID, "x": ErrInvalidGrantID, strings.ToUpper(g.ID[:63]) + "A": ErrInvalidGrantID, g.ID + "00": ErrInvalidGrantID,
	} {
		if err := f.RevokeGrant(f.toRevoke(k), k.ID, id); !errors.Is(err, want) {
			t.Errorf("RevokeGrant(%q) = %v, want %v", id, err, want)
		}
	}
	if err := f.RevokeGrant(f.toRevoke(other), other.ID, g.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("RevokeGrant of another key's grant = %v, want ErrNotFound", err)
	}
	for name, permission := range map[string]authz.Grant{"none": {}, "another key's": f.toRevoke(other), "another action's": f.onKey(authz.KMSDescribeKey, k)} {
		if err := f.RevokeGrant(permission, k.ID, g.ID); !errors.Is(err, ErrNotPermitted) {
			t.Errorf("RevokeGrant with %s permission = %v, want ErrNotPermitted", name, err)
		}
		if err := f.RetireGrant(permission, k.ID, g.ID); !errors.Is(err, ErrNotPermitted) {
			t.Errorf("RetireGrant with %s permission = %v, want ErrNotPermitted", name, err)
		}
		if _, _, err := f.CreateGrant(permission, k.ID, wanted(nil)); !errors.Is(err, ErrNotPermitted) {
			t.Errorf("CreateGrant with %s permission = %v, want ErrNotPermitted", name, err)
		}
	}
	if ids := f.grantIDs(k); !slices.Equal(ids, []string{g.ID}) {
		t.Errorf("grants = %v, want %v", ids, g.ID)
	}
}

func TestGrantPages(t *testing.T) {
	f := newFixture(t)
	keys := []*Key{f.mustCreate(), f.mustCreate()}
	all, forBob, retirable := map[crypto.KeyID][]string{}, map[crypto.KeyID][]string{}, []string{}
	for i := range 40 {
		k := keys[i%2]
		g := f.mustGrant(k, func(g *authz.KeyGrant) {
			if i%3 == 0 {
				g.Grantee = user("bob")
			}
			if i%4 != 0 {
				g.Retiring = user(fmt.Sprintf("carol%d", i%4))
			}
		})
		all[k.ID] = append(all[k.ID], g.ID)
		if i%3 == 0 {
			forBob[k.ID] = append(forBob[k.ID], g.ID)
		}
		if i%4 == 1 {
			retirable = append(retirable, k.Name+"/"+g.ID)
		}
	}
	slices.Sort(retirable)
	for _, size := range []int{1, 3, 20, 100} {
		for _, k := range keys {
			for granteeID, want := range map[string][]string{"": all[k.ID], user("bob").ID: forBob[k.ID], "AIDABO": nil, "AIDANOBODY": nil} {
				slices.Sort(want)
				if got := pagesOf(f.now(k), granteeID, size); !slices.Equal(got, want) {
					t.Errorf("pages of %d for %q = %v, want %v", size, granteeID, got, want)
				}
			}
		}
		var got []string
		after := ""
		for more := true; more; {
			var page []KeyedGrant
			page, more = f.Snapshot().RetirableGrants(user("carol1").ID, after, size)
			if more && page[len(page)-1].Marker() <= after {
				t.Fatalf("a page behind %q does not go on", after)
			}
			for _, g := range page {
				after = g.Marker()
				got = append(got, after)
			}
		}
		if !slices.Equal(got, retirable) {
			t.Errorf("retirable in pages of %d = %v, want %v", size, got, retirable)
		}
	}
}

func pagesOf(k *Key, granteeID string, size int) (ids []string) {
	after := ""
	for more := true; more; {
		var page []*authz.KeyGrant
		page, more = k.Grants(granteeID, after, size)
		if more && page[len(page)-1].ID <= after {
			return append(ids, "a page that does not go on")
		}
		ids = append(ids, idsOf(page)...)
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
	}
	return ids
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		k := f.mustCreate()
		lasting := []string{f.mustGrant(k, nil).ID, f.mustGrant(k, func(g *authz.KeyGrant) { g.Expires = time.Now().Add(2 * time.Hour) }).ID}
		slices.Sort(lasting)
		n := 2*sweepAtOnce + 3
		for i := range n {
			f.mustGrant(k, func(g *authz.KeyGrant) { g.Expires = time.Now().Add(time.Hour).Add(time.Duration(i)) })
		}
		if removed, err := f.Sweep(time.Now().Add(time.Hour - 1)); removed != 0 || err != nil {
			t.Errorf("Sweep before the time = %d, %v, want 0", removed, err)
		}
		if removed, err := f.DryRun().Sweep(time.Now().Add(time.Hour)); removed != 1 || !errors.Is(err, ErrDryRun) {
			t.Errorf("Sweep in a dry run = %d, %v, want 1 and ErrDryRun", removed, err)
		}
		if removed, err := f.Sweep(time.Now().Add(time.Hour)); removed != 1 || err != nil {
			t.Errorf("Sweep at the end of the first = %d, %v, want 1", removed, err)
		}
		before := f.store.Generation()
		if removed, err := f.Sweep(time.Now().Add(time.Hour + time.Duration(n))); removed != n-1 || err != nil {
			t.Errorf("Sweep = %d, %v, want %d", removed, err, n-1)
		}
		if transactions := f.store.Generation() - before; transactions != 3 {
			t.Errorf("Sweep of %d grants took %d transactions, want 3", n-1, transactions)
		}
		if removed, err := f.Sweep(time.Now().Add(time.Hour + time.Duration(n))); removed != 0 || err != nil || f.store.Generation() != before+3 {
			t.Errorf("Sweep again = %d, %v, want 0 and no transaction", removed, err)
		}
		for range 2 {
			if ids := f.grantIDs(k); !slices.Equal(ids, lasting) || f.now(k).Resource.Grants.Len() != 2 {
				t.Errorf("grants = %v, want %v", ids, lasting)
			}
			f.reopen()
		}
	})
}

func TestGrantTokens(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	if _, _, err := f.Snapshot().ParseGrantToken(strings.Repeat("A", grantTokenText)); !errors.Is(err, ErrInvalidGrantToken) {
		t.Errorf("a token before the first grant = %v, want ErrInvalidGrantToken", err)
	}
	g, token, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if key, id, err := f.Snapshot().ParseGrantToken(token); key != k.ID || id != g.ID || err != nil {
			t.Errorf("ParseGrantToken = %v, %v, %v, want %v, %v", key, id, err, k.ID, g.ID)
		}
		f.reopen()
	}
	other := newFixture(t)
	otherKey := other.mustCreate()
	other.mustGrant(otherKey, nil)
	if _, _, err := other.Snapshot().ParseGrantToken(token); !errors.Is(err, ErrInvalidGrantToken) {
		t.Errorf("a token of another store = %v, want ErrInvalidGrantToken", err)
	}
	for i := range token {
		for _, bad := range []string{token[:i], token[:i] + "\n" + token[i+1:], token[:i] + flipped(token[i]) + token[i+1:], token[:i] + "\n" + token[i:]} {
			if key, id, err := f.Snapshot().ParseGrantToken(bad); !errors.Is(err, ErrInvalidGrantToken) || !key.IsZero() || id != "" {
				t.Fatalf("ParseGrantToken(%q) = %v, %q, %v, want ErrInvalidGrantToken and nothing", bad, key, id, err)
			}
		}
	}
}

func flipped(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestGrantTokenKeyIsNotPrinted(t *testing.T) {
	f := newFixture(t)
	f.mustGrant(f.mustCreate(), nil)
	var secret []byte
	err := f.store.View(func(tx *storage.Tx) (err error) {
		secret, err = tx.Get(kindGrantTokenKey, theOne)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	leaktest.Check(t, secret[1:], f.Keystore, f.Snapshot(), f.Snapshot().grantTokens)
}

// fill gives a key n grants, for as many grantees as grantee says, past the checks.
func (f *fixture) fill(k *Key, n int, grantee func(i int) authz.Principal) {
	f.t.Helper()
	err := f.store.Update(func(tx *storage.Tx) error {
		for i := range n {
			g := wanted(func(g *authz.KeyGrant) { g.Grantee, g.Name, g.Created = grantee(i), fmt.Sprint(i), k.Created })
			g.Issuer, g.IssuedBy = f.root.Account, f.root.ID
			if err := tx.Put(kindGrant, grantPath(k, newGrantID()), mustJSON(recordOf(g))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.open()
}

func eachAnother(i int) authz.Principal { return user(fmt.Sprint("u", i)) }

func TestGrantQuota(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	f.fill(k, MaxGrantsPerKey-1, eachAnother)
	last := f.mustGrant(k, nil)
	if _, _, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(nil)); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("grant %d = %v, want ErrLimitExceeded", MaxGrantsPerKey+1, err)
	}
	if _, _, err := f.CreateGrant(f.toCreateGrant(k), k.ID, wanted(func(g *authz.KeyGrant) { g.Grantee, g.Name = eachAnother(7), "7" })); err != nil {
		t.Errorf("a repetition at the quota = %v", err)
	}
	if err := f.RevokeGrant(f.toRevoke(k), k.ID, last.ID); err != nil {
		t.Fatal(err)
	}
	f.mustGrant(k, nil)
}

// Who reads while others write sees a key whose grants are the same in every order.
func TestGrantsWhileTheyChange(t *testing.T) {
	f := newFixture(t)
	k := f.mustCreate()
	create, revoke := f.toCreateGrant(k), f.toRevoke(k)
	var writers, reader sync.WaitGroup
	stop := make(chan struct{})
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			k := f.now(k)
			page, _ := k.Grants(user("alice").ID, "", 1000)
			if n := k.grants.byID.Len(); n != k.Resource.Grants.Len() || n != len(page) {
				t.Errorf("%d grants by id, %d for decisions, %d by grantee", n, k.Resource.Grants.Len(), len(page))
				return
			}
		}
	})
	for range 4 {
		writers.Go(func() {
			for i := range 12 {
				g, _, err := f.CreateGrant(create, k.ID, wanted(nil))
				if err == nil && i%3 != 0 {
					err = f.RevokeGrant(revoke, k.ID, g.ID)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	reader.Wait()
	if n := len(f.grantIDs(k)); n != 16 {
		t.Errorf("%d grants are left, want 16", n)
	}
}
