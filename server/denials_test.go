package server

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
)

// deniedCall is a call of somebody of an account that a policy refuses.
func deniedCall(account string, policies ...*authz.Policy) *call {
	c := &call{who: &authz.Caller{Kind: authz.User, Account: account, ID: "AIDA" + account, ARN: "arn:aws:iam::" + account + ":user/bob", Identity: policies}}
	c.event.RequestID, c.event.ReceivedTime = audit.NewID(), time.Now()
	return c
}

// bulkyPolicy is one that takes much memory, and is not the same as any other.
func bulkyPolicy(t *testing.T, kind authz.PolicyKind, n, statements int) *authz.Policy {
	t.Helper()
	var list []string
	for i := range statements {
		list = append(list, fmt.Sprintf(`{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:a%03d":["*a%d*","b%d*"]}}}`, i, i, n))
	}
	document := `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
	if kind == authz.IdentityPolicy {
		document = strings.ReplaceAll(document, `"Principal":{"AWS":"111122223333"},`, "")
	}
	p, err := authz.Parse(kind, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func keyOf(account string, p *authz.Policy) *authz.Resource {
	return &authz.Resource{Kind: authz.Key, Account: account, ARN: "arn:aws:kms:local:" + account + ":key/1", Policy: p}
}

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// checkSums holds what denials count against what they have.
func (d *denials) checkSums(t *testing.T) {
	t.Helper()
	total := 0
	for account, a := range d.accounts {
		bytes, parts := 0, map[any]int{}
		for e := d.all.Front(); e != nil; e = e.Next() {
			one := e.Value.(*denial)
			if one.who.Account != account {
				continue
			}
			bytes += one.alone
			for _, s := range one.shared {
				if parts[s.part]++; parts[s.part] == 1 {
					bytes += s.bytes
				}
			}
		}
		if a.bytes != bytes || len(a.holds) != len(parts) || a.bytes > denialBytesEach && a.list.Len() > 1 || a.list.Len() == 0 {
			t.Errorf("account %s counts %d bytes and %d parts of %d denials, has %d and %d", account, a.bytes, len(a.holds), a.list.Len(), bytes, len(parts))
		}
		total += bytes
	}
	if d.bytes != total || total > denialBytes || d.all.Len() != len(d.byID) {
		t.Errorf("%d bytes are counted of %d denials, there are %d", d.bytes, d.all.Len(), total)
	}
}

// Who may put policies does not make denials hold on to all of them.
func TestDenialsAreBoundedInBytes(t *testing.T) {
	var d denials
	const calls = 150
	before := heapInUse()
	other := deniedCall("222233334444")
	d.keep(other, authz.KMSDecrypt, keyOf("222233334444", nil), "")
	var first, last *call
	for i := range calls {
		last = deniedCall("111122223333")
		if first == nil {
			first = last
		}
		d.keep(last, authz.KMSDecrypt, keyOf("111122223333", bulkyPolicy(t, authz.KeyPolicy, i, 190)), "")
	}
	d.checkSums(t)
	if n := d.accounts["111122223333"].list.Len(); n >= calls || n < 10 {
		t.Errorf("%d denials of %d are kept, want some", n, calls)
	}
	if held := heapInUse() - before; held > denialBytesEach+1<<20 {
		t.Errorf("denials of one account hold on to %d KiB, want at most %d", held>>10, denialBytesEach>>10)
	}
	for what, want := range map[*call]bool{first: false, last: true, other: true} {
		if _, ok := d.find(what.who.Account, what.event.RequestID, time.Now()); ok != want {
			t.Errorf("a denial of %s is found: %v, want %v", what.who.Account, ok, want)
		}
	}
	runtime.KeepAlive(&d)
}

// What policies are the same is held once, and many accounts share what there is in all.
func TestDenialsShareWhatIsTheSame(t *testing.T) {
	var d denials
	p := bulkyPolicy(t, authz.KeyPolicy, 0, 190)
	for range denialsPerAccount + 10 {
		d.keep(deniedCall("111122223333"), authz.KMSDecrypt, keyOf("111122223333", p), "")
	}
	d.checkSums(t)
	if n := d.accounts["111122223333"].list.Len(); n != denialsPerAccount {
		t.Errorf("%d denials by one policy are kept, want %d", n, denialsPerAccount)
	}
	var last *call
	for i := range 12 {
		account := fmt.Sprintf("%012d", i)
		for n := range 45 {
			last = deniedCall(account)
			d.keep(last, authz.KMSDecrypt, keyOf(account, bulkyPolicy(t, authz.KeyPolicy, n, 190)), "")
		}
	}
	d.checkSums(t)
	if _, ok := d.find(last.who.Account, last.event.RequestID, time.Now()); !ok || d.bytes < denialBytes/2 {
		t.Errorf("the last denial is found: %v, and %d bytes are used", ok, d.bytes)
	}
	if d.accounts["111122223333"] != nil {
		t.Error("the oldest denials of all have not made room")
	}
	for d.all.Len() > 0 {
		d.forget(d.all.Front())
	}
	if d.bytes != 0 || len(d.accounts) != 0 || len(d.byID) != 0 {
		t.Errorf("without denials there are %d bytes, %d accounts, %d ids", d.bytes, len(d.accounts), len(d.byID))
	}
}

// The last denial is kept, however much it holds on to.
func TestLargestDenialIsKept(t *testing.T) {
	var d denials
	var many []*authz.Policy
	for i := range 150 {
		many = append(many, bulkyPolicy(t, authz.IdentityPolicy, i, 40))
	}
	d.keep(deniedCall("111122223333", many[:10]...), authz.KMSDecrypt, keyOf("111122223333", nil), "")
	c := deniedCall("111122223333", many...)
	d.keep(c, authz.KMSDecrypt, keyOf("111122223333", nil), "")
	d.keep(c, authz.KMSEncrypt, keyOf("111122223333", nil), "") // of a call, its first denial is remembered
	d.checkSums(t)
	one, ok := d.find("111122223333", c.event.RequestID, time.Now())
	if !ok || d.all.Len() != 1 || one.action != authz.KMSDecrypt || d.bytes < denialBytesEach {
		t.Errorf("the last denial is found: %v, of %d, with %d bytes", ok, d.all.Len(), d.bytes)
	}
}

// Of a key with very many grants the caller's are kept.
func TestDenialKeepsGrantsOfItsCaller(t *testing.T) {
	var d denials
	var grants *authz.KeyGrants
	for i := range 3 * denialGrants {
		grantee := "AIDA111122223333"
		if i%3 > 0 {
			grantee = "AIDASOMEBODYELSE"
		}
		grants = grants.With(&authz.KeyGrant{ID: fmt.Sprint(i), Grantee: authz.Principal{Level: authz.DirectLevel, Account: "111122223333", ID: grantee}})
	}
	for short, g := range map[bool]*authz.KeyGrants{false: grants, true: grants.With(&authz.KeyGrant{ID: "one more", Grantee: authz.Principal{Level: authz.DirectLevel, ID: "AIDA111122223333"}})} {
		c, r := deniedCall("111122223333"), keyOf("111122223333", nil)
		r.Grants = g
		d.keep(c, authz.KMSDecrypt, r, "")
		one, ok := d.find("111122223333", c.event.RequestID, time.Now())
		if !ok || one.resource.Grants.Len() != denialGrants || one.short != short {
			t.Errorf("%d grants of a key with %d are kept, short %v, want %d, %v", one.resource.Grants.Len(), g.Len(), one.short, denialGrants, short)
		}
	}
	d.checkSums(t)
}
