package authz

import (
	"net/netip"
	"time"
)

// A ContextKey is a condition key that requests carry by itself, whatever it is they ask for: those that follow from the caller and the
// resource are taken from there. The zero ContextKey is none.
type ContextKey uint8

// The keys that [Context.Set] and its kin take, by their AWS names.
const (
	CtxRequestAlias                   ContextKey = iota + 1 // kms:RequestAlias: the alias name by which the request names its key, "alias/x"
	CtxKeySpec                                              // kms:KeySpec, of CreateKey; of a key that exists, its Resource says it
	CtxKeyUsage                                             // kms:KeyUsage, of CreateKey
	CtxKeyOrigin                                            // kms:KeyOrigin, of CreateKey
	CtxMultiRegion                                          // kms:MultiRegion (bool), of CreateKey
	CtxEncryptionAlgorithm                                  // kms:EncryptionAlgorithm
	CtxReEncryptOnSameKey                                   // kms:ReEncryptOnSameKey (bool)
	CtxBypassPolicyLockoutSafetyCheck                       // kms:BypassPolicyLockoutSafetyCheck (bool); set only if the request has it
	CtxGrantOperations                                      // kms:GrantOperations (list)
	CtxGranteePrincipal                                     // kms:GranteePrincipal, an ARN
	CtxRetiringPrincipal                                    // kms:RetiringPrincipal, an ARN
	CtxGrantConstraintType                                  // kms:GrantConstraintType: EncryptionContextEquals, EncryptionContextSubset
	CtxGrantIsForAWSResource                                // kms:GrantIsForAWSResource (bool): always false here
	CtxTagKeys                                              // aws:TagKeys (list), of UntagResource and the like; of requests with tags it follows from RequestTags
	CtxExternalID                                           // sts:ExternalId
	CtxRoleSessionName                                      // sts:RoleSessionName
	CtxSTSSourceIdentity                                    // sts:SourceIdentity
	CtxTransitiveTagKeys                                    // sts:TransitiveTagKeys (list)
	CtxDurationSeconds                                      // sts:DurationSeconds (number)
	CtxPermissionsBoundary                                  // iam:PermissionsBoundary, an ARN
	CtxPolicyARN                                            // iam:PolicyARN
	CtxOrganizationsPolicyID                                // organizations:PolicyId
	CtxOrganizationsPolicyType                              // organizations:PolicyType
	CtxSigningAlgorithm                                     // kms:SigningAlgorithm
	CtxMessageType                                          // kms:MessageType
	CtxMacAlgorithm                                         // kms:MacAlgorithm
	CtxKeyAgreementAlgorithm                                // kms:KeyAgreementAlgorithm
	CtxDataKeyPairSpec                                      // kms:DataKeyPairSpec
	CtxPendingWindowInDays                                  // kms:ScheduleKeyDeletionPendingWindowInDays (number)
	CtxRotationPeriodInDays                                 // kms:RotationPeriodInDays (number)
	CtxWrappingAlgorithm                                    // kms:WrappingAlgorithm
	CtxWrappingKeySpec                                      // kms:WrappingKeySpec
	CtxValidTo                                              // kms:ValidTo (date)
	CtxExpirationModel                                      // kms:ExpirationModel
	ctxEnd
)

// A Context is what a request says beyond its caller, action and resource. The zero Context says nothing: each of its keys is absent.
// Authorize does not change it. It is not safe for concurrent use while it is being filled in; [Context.Reset] makes it ready for the next request
// and keeps its memory.
type Context struct {
	Time            time.Time  // aws:CurrentTime and aws:EpochTime: one reading of the clock for the whole request
	SourceIP        netip.Addr // aws:SourceIp: of the socket, never of a header
	SecureTransport bool       // aws:SecureTransport; present whenever SourceIP is
	UserAgent       string     // aws:UserAgent; absent if empty
	Region          string     // aws:RequestedRegion; absent if empty

	EncryptionContext Pairs // kms:EncryptionContext:k and kms:EncryptionContextKeys
	RequestTags       Pairs // aws:RequestTag/k and aws:TagKeys
	Claims            Pairs // of a web identity: "<issuer without https://>:aud" and the like → value

	// KeyGrant is, for kms:CreateGrant, the grant that is to be made and, for kms:RetireGrant, the one that is to be retired.
	KeyGrant *KeyGrant

	values [ctxEnd]contextValue
}

type contextValue struct {
	kind valueKind // zero: absent
	text string
	list []string
	num  int64
}

type valueKind uint8

const (
	noValue valueKind = iota
	stringValue
	listValue
	boolValue
	numberValue
	dateValue
)

// Reset makes x the zero Context, but for the memory that it has.
func (x *Context) Reset() {
	encryption, tags, claims := x.EncryptionContext, x.RequestTags, x.Claims
	encryption.reset()
	tags.reset()
	claims.reset()
	*x = Context{EncryptionContext: encryption, RequestTags: tags, Claims: claims}
}

// Clone returns a copy that shares no memory with x that x may change.
func (x *Context) Clone() *Context {
	next := *x
	next.EncryptionContext = x.EncryptionContext.clone()
	next.RequestTags = x.RequestTags.clone()
	next.Claims = x.Claims.clone()
	return &next
}

// Set gives a key one value. Text may be empty: an empty value is a value.
func (x *Context) Set(k ContextKey, text string) {
	x.values[k] = contextValue{kind: stringValue, text: text}
}

// SetList gives a key of several values its list. An empty list makes it absent. The caller must not change the list while x is used.
func (x *Context) SetList(k ContextKey, list []string) {
	x.values[k] = contextValue{}
	if len(list) > 0 {
		x.values[k] = contextValue{kind: listValue, list: list}
	}
}

// SetBool gives a key a truth value.
func (x *Context) SetBool(k ContextKey, b bool) {
	v := contextValue{kind: boolValue}
	if b {
		v.num = 1
	}
	x.values[k] = v
}

// SetNumber gives a key a whole number.
func (x *Context) SetNumber(k ContextKey, n int64) {
	x.values[k] = contextValue{kind: numberValue, num: n}
}

// SetDate gives a key a date, to the millisecond.
func (x *Context) SetDate(k ContextKey, t time.Time) {
	x.values[k] = contextValue{kind: dateValue, num: t.UnixMilli()}
}
