package keystore

import (
	"iter"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/cow"
)

// grantIndex has the grants of a key in the orders in which they are asked for. It never changes; the zero value has none.
// (authz.KeyGrants has them as decisions find them.)
type grantIndex struct {
	byID      cow.Sorted[string, *authz.KeyGrant] // :: grant id → grant
	byGrantee cow.Sorted[string, *authz.KeyGrant] // :: granteeOrder → grant
	byRequest cow.Sorted[string, *authz.KeyGrant] // :: requestOf → grant, of those that have names
}

// orderSeparator ends the first part of an order: it is in no id.
const orderSeparator = "\x00"

func granteeOrder(principalID, grantID string) string { return principalID + orderSeparator + grantID }

// setGrants gives a key that nobody else sees yet its grants.
func (k *Key) setGrants(list []*authz.KeyGrant) {
	k.Resource.Grants = authz.CollectKeyGrants(slices.Values(list))
	k.grants = grantIndex{
		byID:      cow.CollectSorted(keyed(list, func(g *authz.KeyGrant) string { return g.ID })),
		byGrantee: cow.CollectSorted(keyed(list, func(g *authz.KeyGrant) string { return granteeOrder(g.Grantee.ID, g.ID) })),
		byRequest: cow.CollectSorted(keyed(slices.DeleteFunc(slices.Clone(list), func(g *authz.KeyGrant) bool { return g.Name == "" }), requestOf)),
	}
}

func keyed(list []*authz.KeyGrant, key func(*authz.KeyGrant) string) iter.Seq2[string, *authz.KeyGrant] {
	return func(yield func(string, *authz.KeyGrant) bool) {
		for _, g := range list {
			if !yield(key(g), g) {
				return
			}
		}
	}
}

// Grant returns the key's grant of an id.
func (k *Key) Grant(id string) (*authz.KeyGrant, bool) { return k.grants.byID.Load(id) }

// Grants returns up to limit grants of the key that come behind the grant id after in the order of their ids, and whether there
// are more. If granteeID is not empty, only those for the principal of that unique id. Grants that have expired are among them until Sweep
// has removed them. It takes as long among 50,000 grants as among few.
func (k *Key) Grants(granteeID, after string, limit int) (page []*authz.KeyGrant, more bool) {
	if granteeID == "" {
		return pageOf(k.grants.byID.After(after), limit)
	}
	prefix := granteeOrder(granteeID, "")
	return pageOf(within(k.grants.byGrantee.After(prefix+after), prefix), limit)
}

// within ends a sequence in order at the first key that does not begin with prefix.
func within[V any](seq iter.Seq2[string, V], prefix string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for key, v := range seq {
			if !strings.HasPrefix(key, prefix) || !yield(key, v) {
				return
			}
		}
	}
}

// KeyedGrant is a grant and the key it is of.
type KeyedGrant struct {
	Key   crypto.KeyID
	Grant *authz.KeyGrant
}

// Marker is where the grant stands among those of all keys: the key's id, "/", the grant's.
func (g KeyedGrant) Marker() string { return g.Key.String() + "/" + g.Grant.ID }

func (g KeyedGrant) retiringOrder() string {
	return g.Grant.Retiring.ID + orderSeparator + g.Marker()
}

// expiryOrder begins with the time, which is after 1970.
func (g KeyedGrant) expiryOrder() string {
	return timeOrder(g.Grant.Expires) + g.Marker()
}

// RetirableGrants returns up to limit grants, of keys of whatever account, whose retiring principal has the unique id, and that come behind
// the one of the marker after; and whether there are more. Their order is that of the ids of their keys and then their own.
func (s *Snapshot) RetirableGrants(principalID, after string, limit int) (page []KeyedGrant, more bool) {
	prefix := principalID + orderSeparator
	return pageOf(within(s.retirable.After(prefix+after), prefix), limit)
}

// withGrant returns a snapshot in which the key k has the grant g besides.
func (s *Snapshot) withGrant(k *Key, g *authz.KeyGrant) *Snapshot {
	next := s.withKey(k.with(func(k *Key) {
		k.Resource.Grants = k.Resource.Grants.With(g)
		k.grants.byID = k.grants.byID.With(g.ID, g)
		k.grants.byGrantee = k.grants.byGrantee.With(granteeOrder(g.Grantee.ID, g.ID), g)
		if g.Name != "" {
			k.grants.byRequest = k.grants.byRequest.With(requestOf(g), g)
		}
	}))
	keyed := KeyedGrant{k.ID, g}
	if g.Retiring.ID != "" {
		next.retirable = next.retirable.With(keyed.retiringOrder(), keyed)
	}
	if !g.Expires.IsZero() {
		next.expiring = next.expiring.With(keyed.expiryOrder(), keyed)
	}
	return next
}

// withoutGrant returns a snapshot in which the key k does not have its grant g.
func (s *Snapshot) withoutGrant(k *Key, g *authz.KeyGrant) *Snapshot {
	next := s.withKey(k.with(func(k *Key) {
		k.Resource.Grants = k.Resource.Grants.Without(g)
		k.grants.byID = k.grants.byID.Without(g.ID)
		k.grants.byGrantee = k.grants.byGrantee.Without(granteeOrder(g.Grantee.ID, g.ID))
		if g.Name != "" {
			k.grants.byRequest = k.grants.byRequest.Without(requestOf(g))
		}
	}))
	keyed := KeyedGrant{k.ID, g}
	next.retirable = next.retirable.Without(keyed.retiringOrder())
	next.expiring = next.expiring.Without(keyed.expiryOrder())
	return next
}
