package authz_test

import (
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// TestClosedFormula goes through every combination of what one caller's layers can say, against the formula
//
//	same account:   not denied, and (named directly, or account named and identity)
//	other account:  not denied, and named in any way, and identity
//	no key policy:  not denied, and identity, in the same account
func TestClosedFormula(t *testing.T) {
	const name, acct = "arn:aws:iam::111122223333:user/alice", "111122223333"
	clause := func(effect, principal string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"kms:Decrypt","Resource":"*"}`
	}
	direct, star, account := `{"AWS":"`+name+`"}`, `"*"`, `{"AWS":"`+acct+`"}`
	never := `{"Effect":"Allow","Principal":"*","Action":"kms:Sign","Resource":"*"}`
	combinations := 0
	for bits := range 1 << 9 {
		on := func(i int) bool { return bits>>i&1 == 1 }
		clauses := []string{never}
		for i, c := range []string{
			clause("Allow", direct), clause("Allow", star), clause("Allow", account),
			clause("Deny", direct), clause("Deny", account),
		} {
			if on(i) {
				clauses = append(clauses, c)
			}
		}
		key := mustParse(t, authz.KeyPolicy, `{"Statement":[`+strings.Join(clauses, ",")+`]}`)
		key, err := key.Bind(resolveUser)
		if err != nil {
			t.Fatal(err)
		}
		for _, cross := range []bool{false, true} {
			for _, isRoot := range []bool{false, true} {
				c := authz.Caller{Kind: authz.User, Account: acct, ID: ids[name], ARN: name}
				r := authz.Resource{Kind: authz.Key, Account: acct, ARN: keyA, Policy: key}
				if isRoot {
					c.Kind, c.ID = authz.Root, acct
				}
				if cross {
					r.Account = accountB
				}
				if on(5) {
					c.Identity = append(c.Identity, mustParse(t, authz.IdentityPolicy, allowDecrypt))
				}
				if on(6) {
					c.Identity = append(c.Identity, mustParse(t, authz.IdentityPolicy, denyDecrypt))
				}
				if on(7) {
					r.Policy = nil
				}
				noise := `{"Statement":{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}}`
				if on(8) {
					c.Identity = append(c.Identity, mustParse(t, authz.IdentityPolicy, noise))
				}
				exists := !on(7)
				kpDirect := exists && (on(0) && !isRoot || on(1))
				kpAccount := exists && on(2)
				denied := exists && (on(3) && !isRoot || on(4)) || on(6)
				id := isRoot || on(5)
				want := !denied && (kpDirect || kpAccount && id)
				if cross {
					want = !denied && (kpDirect || kpAccount) && id
				}
				if !exists {
					want = !denied && id && !cross
				}
				combinations++
				if _, d := authz.Authorize(&c, authz.KMSDecrypt, &r, nil); (d.Verdict == authz.Allow) != want {
					t.Errorf("bits %09b, cross %v, root %v: %+v, want allowed = %v", bits, cross, isRoot, d, want)
				}
			}
		}
	}
	if combinations != 2048 {
		t.Errorf("%d combinations, want 2048", combinations)
	}
}
