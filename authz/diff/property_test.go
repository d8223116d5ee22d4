package diff

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

var pairsFlag = flag.Int("pairs", 25, "pairs of policies of each kind that TestNoNewAccessIsMissed compares")

var everyKind = []authz.PolicyKind{
	authz.IdentityPolicy, authz.KeyPolicy, authz.SessionPolicy, authz.TrustPolicy, authz.ServiceControlPolicy, authz.ResourceControlPolicy,
}

// means reports whether the principal of a finding may be the caller of the draft. What limits many callers is reported for one.
func (s *search) means(a Access, d *draft) bool {
	return s.kind != authz.KeyPolicy && s.kind != authz.TrustPolicy || d.caller.Kind == authz.WebIdentity || strings.Contains(a.Principal, d.caller.Account) ||
		strings.Contains(a.Principal, "another account") && !slices.Contains(append(s.mentions(), home), d.caller.Account)
}

func TestNoNewAccessIsMissed(t *testing.T) {
	for _, kind := range everyKind {
		t.Run(kind.String(), func(t *testing.T) {
			g := generator{rand.New(rand.NewPCG(7, uint64(kind)))}
			newly, certain, possible, complex := 0, 0, 0, 0
			for range *pairsFlag {
				old := g.policy(kind)
				changed := g.change(kind, old)
				r, err := Compare(kind, old.text(), changed.text(), Options{Account: home})
				if err != nil {
					t.Fatal(err)
				}
				if r.TooComplex {
					complex++
					continue
				}
				for _, a := range r.Opens {
					if a.Certain {
						certain++
					} else {
						possible++
					}
				}
				s, err := newSearch(kind, old.text(), changed.text(), Options{Account: home})
				if err != nil {
					t.Fatal(err)
				}
				opens := s.direction(0, 1)
				for range 400 {
					d, ok := g.request(s)
					if !ok {
						continue
					}
					for _, through := range s.throughs(d) {
						if !opens.confirm(d, through) {
							continue
						}
						newly++
						if !slices.ContainsFunc(r.Opens, func(a Access) bool {
							return a.Resource == kindNames[d.kind] && slices.Contains(a.Actions, d.action.String()) && s.means(a, d)
						}) {
							e := d.example(func(string) bool { return true })
							t.Fatalf("Compare misses that %s (%s) is opened:\nold %s\nnew %s\nrequest %+v\nfound %+v", d.action, through, old.text(), changed.text(), *e, r.Opens)
						}
					}
				}
			}
			t.Logf("%d requests were newly allowed; Compare found %d kinds of them certain and %d possible; %d pairs were too complex", newly, certain, possible, complex)
			if newly == 0 || certain == 0 {
				t.Errorf("%d requests were newly allowed, and %d findings certain: the generator makes nothing to find", newly, certain)
			}
		})
	}
}
