package server

import (
	"container/list"
	"sync"
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
)

// These bound the memory of denials. Policies that several denials of an account were decided by count once for it, whether they are still in force or not. The
// newest denial of an account is kept however large it is.
const (
	denialsKept       = 8192
	denialsPerAccount = 1024
	denialBytes       = 64 << 20
	denialBytesEach   = 8 << 20 // of an account
	denialAge         = 24 * time.Hour
	denialText        = 4 << 10 // of pairs and lists in the request; one that has more is kept without them
	denialGrants      = 128
	denialMemory      = 2 << 10 // of a denial besides what it holds on to
)

// A denial is a question that was answered with no, with everything that it was decided by, or what of it the caller may know.
type denial struct {
	request  audit.ID
	account  string // whose it is: the caller's, or of a web identity, which has none, that of the role
	at       time.Time
	who      *authz.Caller
	action   authz.Action
	resource authz.Resource
	shown    string // the resource's ARN, as it is told
	facts    *authz.Context
	short    bool // the request, or the key, had more than is kept

	inAccount *list.Element
	alone     int          // bytes that no other denial has
	shared    []sharedPart // what others may have too
}

// A sharedPart is something immutable that denials hold on to.
type sharedPart struct {
	part  any // a pointer
	bytes int
}

// newDenial makes what is remembered of a denial. Of what belongs to another account that is what there is to know if it does not exist: the question is kept, not
// what was found.
func newDenial(c *call, a authz.Action, r *authz.Resource, shown string) *denial {
	d := &denial{request: c.event.RequestID, account: c.who.Account, at: c.event.ReceivedTime, who: c.who, action: a, resource: *r, shown: shown}
	if c.who.Kind == authz.WebIdentity {
		d.account = r.Account
	}
	facts, whole := c.facts.CloneWithin(denialText)
	d.facts, d.short = facts, !whole
	if r.Kind != authz.None && r.Account != d.account {
		d.resource = authz.Resource{Kind: r.Kind, Account: r.Account, ARN: r.ARN}
		switch a {
		case authz.KMSRetireGrant:
			d.facts.KeyGrant = &authz.KeyGrant{Issuer: r.Account}
		case authz.KMSReEncryptFrom, authz.KMSReEncryptTo:
			d.facts.SetBool(authz.CtxReEncryptOnSameKey, false)
		}
	}
	if d.resource.Grants, whole = d.resource.Grants.For(d.who, denialGrants); !whole {
		d.short = true
	}
	d.weigh()
	return d
}

// weigh finds out what the denial holds on to.
func (d *denial) weigh() {
	d.alone = denialMemory + d.facts.Memory() + d.who.Tags.Memory() + d.resource.Tags.Memory()
	for _, alias := range d.resource.Aliases {
		d.alone += len(alias)
	}
	for g := range d.resource.Grants.All() {
		d.alone += g.Memory()
	}
	d.policies(d.who.Identity...)
	d.policies(d.who.Boundary, d.resource.Policy)
	d.policies(d.who.Session...)
	for _, m := range []*authz.Membership{d.who.Membership, d.resource.Membership} {
		if m == nil {
			continue
		}
		d.shared = append(d.shared, sharedPart{m, denialMemory})
		for _, level := range append(m.SCPs[:len(m.SCPs):len(m.SCPs)], m.RCPs...) {
			d.policies(level...)
		}
	}
}

func (d *denial) policies(list ...*authz.Policy) {
	for _, p := range list {
		if p != nil {
			d.shared = append(d.shared, sharedPart{p, p.Memory()})
		}
	}
}

// denials remembers the last denials, so that somebody can ask later why. An account that is denied more often than it has a share, or by more policies, pushes out
// its own oldest ones. The zero value is empty and ready; it is safe for concurrent use.
type denials struct {
	mu       sync.Mutex
	byID     map[audit.ID]*list.Element
	all      list.List // of *denial, the oldest first
	bytes    int       // of all accounts
	accounts map[string]*accountDenials
}

type accountDenials struct {
	list  list.List // of the elements of all, the oldest first
	bytes int
	holds map[any]int // :: shared part → denials that hold on to it
}

// keep remembers the first denial of a call. shown is what its explanation calls the resource.
func (d *denials) keep(c *call, a authz.Action, r *authz.Resource, shown string) {
	if d.has(c.event.RequestID) {
		return
	}
	one := newDenial(c, a, r, shown)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID == nil {
		d.byID, d.accounts = map[audit.ID]*list.Element{}, map[string]*accountDenials{}
	}
	account := d.accounts[one.account]
	if account == nil {
		account = &accountDenials{holds: map[any]int{}}
		d.accounts[one.account] = account
	}
	e := d.all.PushBack(one)
	one.inAccount = account.list.PushBack(e)
	d.byID[one.request] = e
	d.count(account, account.add(one))
	for account.list.Len() > denialsPerAccount || account.bytes > denialBytesEach && account.list.Len() > 1 {
		d.forget(account.list.Front().Value.(*list.Element))
	}
	for d.all.Len() > denialsKept || d.bytes > denialBytes && d.all.Len() > 1 {
		d.forget(d.all.Front())
	}
}

func (d *denials) has(id audit.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.byID[id]
	return ok
}

func (d *denials) count(account *accountDenials, bytes int) {
	account.bytes += bytes
	d.bytes += bytes
}

// add returns how many bytes more the account holds on to.
func (a *accountDenials) add(d *denial) int {
	bytes := d.alone
	for _, s := range d.shared {
		if a.holds[s.part]++; a.holds[s.part] == 1 {
			bytes += s.bytes
		}
	}
	return bytes
}

// remove returns how many bytes less the account holds on to.
func (a *accountDenials) remove(d *denial) int {
	bytes := d.alone
	for _, s := range d.shared {
		if a.holds[s.part]--; a.holds[s.part] == 0 {
			delete(a.holds, s.part)
			bytes += s.bytes
		}
	}
	return bytes
}

func (d *denials) forget(e *list.Element) {
	one := d.all.Remove(e).(*denial)
	delete(d.byID, one.request)
	account := d.accounts[one.account]
	d.count(account, -account.remove(one))
	if account.list.Remove(one.inAccount); account.list.Len() == 0 {
		delete(d.accounts, one.account)
	}
}

// find returns the denial of a request of a caller of the account.
func (d *denials) find(account string, id audit.ID, now time.Time) (*denial, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.byID[id]
	if !ok {
		return nil, false
	}
	one := e.Value.(*denial)
	return one, one.account == account && now.Sub(one.at) < denialAge
}
