package server

import (
	"container/list"
	"sync"
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
)

// These bound the memory of denials: some 4 KiB each, and as much again for its encryption context.
const (
	denialsKept       = 8192
	denialsPerAccount = 1024
	denialAge         = 24 * time.Hour
)

// A denial is a question that was answered with no, with everything that it was decided by.
type denial struct {
	request  audit.ID
	at       time.Time
	who      *authz.Caller
	action   authz.Action
	resource authz.Resource
	facts    *authz.Context

	inAccount *list.Element
}

// denials remembers the last denials, so that somebody can ask later why. An account that is denied more often than it has a share pushes out its own
// oldest ones. The zero value is empty and ready; it is safe for concurrent use.
type denials struct {
	mu       sync.Mutex
	byID     map[audit.ID]*list.Element
	all      list.List // of *denial, the oldest first
	accounts map[string]*list.List
}

// keep remembers the first denial of a call.
func (d *denials) keep(c *call, a authz.Action, r *authz.Resource) {
	id := c.event.RequestID
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, again := d.byID[id]; again {
		return
	}
	if d.byID == nil {
		d.byID, d.accounts = map[audit.ID]*list.Element{}, map[string]*list.List{}
	}
	account := d.accounts[c.who.Account]
	if account == nil {
		account = list.New()
		d.accounts[c.who.Account] = account
	}
	switch {
	case account.Len() >= denialsPerAccount:
		d.forget(account.Front().Value.(*list.Element))
	case d.all.Len() >= denialsKept:
		d.forget(d.all.Front())
	}
	one := &denial{request: id, at: c.event.ReceivedTime, who: c.who, action: a, resource: *r, facts: c.facts.Clone()}
	e := d.all.PushBack(one)
	if d.accounts[c.who.Account] == nil { // its last one was just forgotten
		d.accounts[c.who.Account] = account
	}
	one.inAccount = account.PushBack(e)
	d.byID[id] = e
}

func (d *denials) forget(e *list.Element) {
	one := d.all.Remove(e).(*denial)
	delete(d.byID, one.request)
	account := d.accounts[one.who.Account]
	if account.Remove(one.inAccount); account.Len() == 0 {
		delete(d.accounts, one.who.Account)
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
	return one, one.who.Account == account && now.Sub(one.at) < denialAge
}
