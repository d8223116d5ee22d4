package authz

import (
	"net/netip"
	"strconv"
	"time"
)

// A reading is what a request has for a condition key.
type reading struct {
	count int      // of values; zero if the key is absent
	text  string   // the one value of text, if neither list nor pairs is set
	list  []string // values of text
	pairs []pair   // whose values are the values, or whose names are
	names bool
	truth bool
	num   int64      // a number, or milliseconds since 1970
	addr  netip.Addr // without a zone, IPv4 as such
}

// at returns value i of text.
func (v *reading) at(i int) string {
	switch {
	case v.pairs != nil && v.names:
		return v.pairs[i].name
	case v.pairs != nil:
		return v.pairs[i].value
	case v.list != nil:
		return v.list[i]
	}
	return v.text
}

func (v *reading) setText(s string)    { v.count, v.text = 1, s }
func (v *reading) setTruth(b bool)     { v.count, v.truth = 1, b }
func (v *reading) setNumber(n int64)   { v.count, v.num = 1, n }
func (v *reading) setList(l []string)  { v.count, v.list = len(l), l }
func (v *reading) setPairs(l []pair)   { v.count, v.pairs = len(l), l }
func (v *reading) setDate(t time.Time) { v.count, v.num = 1, t.UnixMilli() }

// optional sets a value that is absent if it is empty.
func (v *reading) optional(s string) {
	if s != "" {
		v.setText(s)
	}
}

// read finds the values of a key. What a key of another type than its own was given is not there.
func (q *request) read(v *reading, k keyID, member string) {
	switch k {
	case keyPrincipalArn, keyPrincipalAccount, keyPrincipalType, keyUserID, keyUserName, keyPrincipalTag, keyPrincipalOrgID,
		keyPrincipalOrgPaths, keyTokenIssueTime, keyMFAPresent, keyMFAAge, keySourceIdentity, keyCallerAccount:
		q.readCaller(v, k, member)
	case keyResourceAccount, keyResourceOrgID, keyResourceOrgPaths, keyResourceTag, keyIAMResourceTag, keyResourceAliases,
		keyKeySpec, keyKeyUsage, keyKeyOrigin, keyMultiRegion, keyCustomerMasterKeySpec, keyCustomerMasterKeyUsage:
		q.readResource(v, k, member)
	default:
		if q.context != nil {
			q.readContext(v, k, member)
		}
	}
}

func (q *request) readCaller(v *reading, k keyID, member string) {
	c := q.caller
	switch k {
	case keyPrincipalArn:
		if c.Kind == RoleSession {
			v.optional(c.RoleARN)
			return
		}
		v.optional(c.ARN)
	case keyPrincipalAccount, keyCallerAccount:
		v.optional(c.Account)
	case keyPrincipalType:
		v.optional(c.Kind.principalType())
	case keyUserID:
		switch c.Kind {
		case Root, User:
			v.optional(c.ID)
		case RoleSession: // the one value that is put together, and so the one that takes memory
			v.setText(c.ID + ":" + c.SessionName)
		}
	case keyUserName:
		if c.Kind == User {
			v.optional(c.UserName)
		}
	case keyPrincipalTag:
		v.setPairs(c.Tags.find(member))
	case keyPrincipalOrgID, keyPrincipalOrgPaths:
		v.readMembership(c.Membership, k == keyPrincipalOrgPaths)
	case keyTokenIssueTime:
		if !c.Issued.IsZero() {
			v.setDate(c.Issued)
		}
	case keyMFAPresent:
		if !c.Issued.IsZero() || !c.MFA.IsZero() {
			v.setTruth(!c.MFA.IsZero())
		}
	case keyMFAAge:
		if x := q.context; x != nil && !c.MFA.IsZero() && !x.Time.IsZero() {
			v.setNumber(max(0, int64(x.Time.Sub(c.MFA)/time.Second)))
		}
	case keySourceIdentity:
		v.optional(c.SourceIdentity)
	}
}

// principalType is aws:PrincipalType.
func (k CallerKind) principalType() string {
	switch k {
	case Root:
		return "Account"
	case User:
		return "User"
	case RoleSession:
		return "AssumedRole"
	case WebIdentity:
		return "FederatedUser"
	}
	return ""
}

func (v *reading) readMembership(m *Membership, path bool) {
	switch {
	case m == nil:
	case path:
		v.optional(m.Path)
	default:
		v.optional(m.Organization)
	}
}

func (q *request) readResource(v *reading, k keyID, member string) {
	r := q.resource
	switch k {
	case keyResourceAccount:
		if r.Kind != None {
			v.optional(r.Account)
		}
	case keyResourceOrgID, keyResourceOrgPaths:
		if r.Kind != None {
			v.readMembership(r.Membership, k == keyResourceOrgPaths)
		}
	case keyResourceTag:
		v.setPairs(r.Tags.find(member))
	case keyIAMResourceTag:
		if r.Kind == IAMEntity || r.Kind == Role {
			v.setPairs(r.Tags.find(member))
		}
	case keyResourceAliases:
		if r.Kind == Key {
			v.setList(r.Aliases)
		}
	case keyMultiRegion:
		if r.Kind == Key {
			v.setTruth(false)
			return
		}
		q.readSet(v, CtxMultiRegion, boolValue)
	case keyKeySpec, keyCustomerMasterKeySpec:
		q.readKeyProperty(v, r.KeySpec, CtxKeySpec)
	case keyKeyUsage, keyCustomerMasterKeyUsage:
		q.readKeyProperty(v, r.KeyUsage, CtxKeyUsage)
	case keyKeyOrigin:
		q.readKeyProperty(v, r.KeyOrigin, CtxKeyOrigin)
	}
}

// readKeyProperty takes what the key is, or what one that is to be made shall be.
func (q *request) readKeyProperty(v *reading, of string, k ContextKey) {
	if q.resource.Kind == Key {
		v.optional(of)
		return
	}
	q.readSet(v, k, stringValue)
}

func (q *request) readContext(v *reading, k keyID, member string) {
	x := q.context
	switch k {
	case keySourceIP:
		if x.SourceIP.IsValid() {
			v.count, v.addr = 1, x.SourceIP.Unmap().WithZone("")
		}
	case keySecureTransport:
		if x.SourceIP.IsValid() {
			v.setTruth(x.SecureTransport)
		}
	case keyCurrentTime:
		if !x.Time.IsZero() {
			v.setDate(x.Time)
		}
	case keyEpochTime:
		if !x.Time.IsZero() {
			v.setNumber(x.Time.Unix())
		}
	case keyEpochDate:
		if !x.Time.IsZero() {
			v.setNumber(x.Time.Unix() * 1000)
		}
	case keyUserAgent:
		v.optional(x.UserAgent)
	case keyRequestedRegion:
		v.optional(x.Region)
	case keyRequestTag:
		v.setPairs(x.RequestTags.find(member))
	case keyTagKeys:
		if len(x.RequestTags.list) > 0 {
			v.setPairs(x.RequestTags.list)
			v.names = true
			return
		}
		q.readSet(v, CtxTagKeys, listValue)
	case keyEncryptionContext:
		v.setPairs(x.EncryptionContext.find(member))
	case keyEncryptionContextKeys:
		v.setPairs(x.EncryptionContext.list)
		v.names = true
	case keyClaim:
		v.setPairs(x.Claims.find(member))
	default:
		if s := setKeys[k]; s.kind != noValue {
			q.readSet(v, s.key, s.kind)
		}
	}
}

// setKeys :: keyID → where a Context has it. It is never written.
var setKeys = [keyEnd]struct {
	key  ContextKey
	kind valueKind
}{
	keyRequestAlias:                   {CtxRequestAlias, stringValue},
	keyEncryptionAlgorithm:            {CtxEncryptionAlgorithm, stringValue},
	keyReEncryptOnSameKey:             {CtxReEncryptOnSameKey, boolValue},
	keyBypassPolicyLockoutSafetyCheck: {CtxBypassPolicyLockoutSafetyCheck, boolValue},
	keyGrantOperations:                {CtxGrantOperations, listValue},
	keyGranteePrincipal:               {CtxGranteePrincipal, stringValue},
	keyRetiringPrincipal:              {CtxRetiringPrincipal, stringValue},
	keyGrantConstraintType:            {CtxGrantConstraintType, stringValue},
	keyGrantIsForAWSResource:          {CtxGrantIsForAWSResource, boolValue},
	keySigningAlgorithm:               {CtxSigningAlgorithm, stringValue},
	keyMessageType:                    {CtxMessageType, stringValue},
	keyMacAlgorithm:                   {CtxMacAlgorithm, stringValue},
	keyKeyAgreementAlgorithm:          {CtxKeyAgreementAlgorithm, stringValue},
	keyDataKeyPairSpec:                {CtxDataKeyPairSpec, stringValue},
	keyPendingWindowInDays:            {CtxPendingWindowInDays, numberValue},
	keyRotationPeriodInDays:           {CtxRotationPeriodInDays, numberValue},
	keyWrappingAlgorithm:              {CtxWrappingAlgorithm, stringValue},
	keyWrappingKeySpec:                {CtxWrappingKeySpec, stringValue},
	keyValidTo:                        {CtxValidTo, dateValue},
	keyExpirationModel:                {CtxExpirationModel, stringValue},
	keyExternalID:                     {CtxExternalID, stringValue},
	keyRoleSessionName:                {CtxRoleSessionName, stringValue},
	keySTSSourceIdentity:              {CtxSTSSourceIdentity, stringValue},
	keyTransitiveTagKeys:              {CtxTransitiveTagKeys, listValue},
	keyDurationSeconds:                {CtxDurationSeconds, numberValue},
	keyPermissionsBoundary:            {CtxPermissionsBoundary, stringValue},
	keyPolicyARN:                      {CtxPolicyARN, stringValue},
	keyOrganizationsPolicyID:          {CtxOrganizationsPolicyID, stringValue},
	keyOrganizationsPolicyType:        {CtxOrganizationsPolicyType, stringValue},
}

// readSet takes what [Context.Set] and its kin gave, if it is of the kind.
func (q *request) readSet(v *reading, k ContextKey, kind valueKind) {
	if q.context == nil {
		return
	}
	value := &q.context.values[k]
	if value.kind != kind {
		return
	}
	switch kind {
	case stringValue:
		v.setText(value.text)
	case listValue:
		v.setList(value.list)
	case boolValue:
		v.setTruth(value.num != 0)
	case numberValue:
		v.setNumber(value.num)
	case dateValue:
		v.setDate(time.UnixMilli(value.num))
	}
}

// find returns the pairs of a name, which is folded: those that differ in case only.
func (p *Pairs) find(folded string) []pair {
	const few = 12
	from, end := 0, len(p.list)
	if end > few {
		for from < end {
			if middle := int(uint(from+end) >> 1); p.list[middle].folded < folded {
				from = middle + 1
			} else {
				end = middle
			}
		}
	} else {
		for from < end && p.list[from].folded != folded {
			from++
		}
	}
	to := from
	for to < len(p.list) && p.list[to].folded == folded {
		to++
	}
	if from == to {
		return nil
	}
	return p.list[from:to]
}

// appendText appends a value that is not text as a variable writes it.
func (v *reading) appendText(b []byte, t KeyType) []byte {
	switch t {
	case BoolKey:
		return strconv.AppendBool(b, v.truth)
	case NumericKey:
		return strconv.AppendInt(b, v.num, 10)
	case DateKey:
		return time.UnixMilli(v.num).UTC().AppendFormat(b, "2006-01-02T15:04:05Z")
	case IPAddressKey:
		return v.addr.AppendTo(b)
	}
	return b
}
