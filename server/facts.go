package server

import (
	"net/netip"

	"github.com/kmsd/kmsd/authz"
)

// gatherFacts notes what every request says to conditions. What an operation has of its own, its handler adds before it asks authz.
func (c *call) gatherFacts() {
	x := &c.facts
	x.Time = c.event.ReceivedTime
	x.SourceIP = c.conn.address
	x.SecureTransport = c.conn.network.TLSVersion != ""
	x.UserAgent = c.event.Network.UserAgent
	x.Region = c.s.place.Region
}

// addressOf is an address of the socket as conditions compare it.
func addressOf(ip string) netip.Addr {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// keyResource is a key as authz decides about it, with the place of its account in the organization as of the call's snapshot. It is good until the
// next one.
func (c *call) keyResource(r authz.Resource) *authz.Resource {
	c.resource = r
	c.resource.Membership = c.people.Membership(r.Account)
	return &c.resource
}
