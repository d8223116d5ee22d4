package diff

import (
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// A dim is something about requests that can be chosen by itself, such as an address or a tag, by its name: what condition keys that depend on
// one another are read from.

// dims :: folded condition key → the dim it is read from, if that is not named like the key. It is never written.
var dims = map[string]string{
	"aws:principalarn": "principal", "aws:principalaccount": "principal", "kms:calleraccount": "principal", "aws:principaltype": "principal",
	"aws:userid": "principal", "aws:username": "principal",
	"aws:tokenissuetime": "credentials", "aws:multifactorauthpresent": "credentials", "aws:multifactorauthage": "credentials",
	"aws:currenttime": "time", "aws:epochtime": "time",
	"aws:principalorgid": "principal-organization", "aws:principalorgpaths": "principal-organization",
	"aws:resourceorgid": "resource-organization", "aws:resourceorgpaths": "resource-organization",
	"aws:resourceaccount":       "resource",
	"kms:customermasterkeyspec": "kms:keyspec", "kms:customermasterkeyusage": "kms:keyusage",
}

func dimOf(key string) string {
	if d, ok := dims[key]; ok {
		return d
	}
	if member, ok := strings.CutPrefix(key, "iam:resourcetag/"); ok {
		return "aws:resourcetag/" + member
	}
	return key
}

// textKeys :: dim → where a Context has its text. It is never written.
var textKeys = map[string]authz.ContextKey{
	"kms:requestalias": authz.CtxRequestAlias, "kms:keyspec": authz.CtxKeySpec, "kms:keyusage": authz.CtxKeyUsage, "kms:keyorigin": authz.CtxKeyOrigin,
	"kms:encryptionalgorithm": authz.CtxEncryptionAlgorithm, "kms:granteeprincipal": authz.CtxGranteePrincipal, "kms:retiringprincipal": authz.CtxRetiringPrincipal,
	"kms:grantconstrainttype": authz.CtxGrantConstraintType, "sts:externalid": authz.CtxExternalID, "sts:rolesessionname": authz.CtxRoleSessionName,
	"sts:sourceidentity": authz.CtxSTSSourceIdentity, "iam:permissionsboundary": authz.CtxPermissionsBoundary, "iam:policyarn": authz.CtxPolicyARN,
	"organizations:policyid": authz.CtxOrganizationsPolicyID, "organizations:policytype": authz.CtxOrganizationsPolicyType,
	"kms:signingalgorithm": authz.CtxSigningAlgorithm, "kms:messagetype": authz.CtxMessageType, "kms:macalgorithm": authz.CtxMacAlgorithm,
	"kms:keyagreementalgorithm": authz.CtxKeyAgreementAlgorithm, "kms:datakeypairspec": authz.CtxDataKeyPairSpec,
	"kms:wrappingalgorithm": authz.CtxWrappingAlgorithm, "kms:wrappingkeyspec": authz.CtxWrappingKeySpec, "kms:expirationmodel": authz.CtxExpirationModel,
}

// numberKeys :: dim → where a Context has its number. It is never written.
var numberKeys = map[string]authz.ContextKey{
	"sts:durationseconds": authz.CtxDurationSeconds, "kms:schedulekeydeletionpendingwindowindays": authz.CtxPendingWindowInDays,
	"kms:rotationperiodindays": authz.CtxRotationPeriodInDays,
}

// truthKeys :: dim → where a Context has its truth value. It is never written.
var truthKeys = map[string]authz.ContextKey{
	"kms:multiregion": authz.CtxMultiRegion, "kms:reencryptonsamekey": authz.CtxReEncryptOnSameKey,
	"kms:bypasspolicylockoutsafetycheck": authz.CtxBypassPolicyLockoutSafetyCheck, "kms:grantisforawsresource": authz.CtxGrantIsForAWSResource,
}

// listKeys :: dim → where a Context has its list. It is never written.
var listKeys = map[string]authz.ContextKey{
	"kms:grantoperations": authz.CtxGrantOperations, "sts:transitivetagkeys": authz.CtxTransitiveTagKeys,
}

// domains :: dim → all texts that it can be. It is never written.
var domains = map[string][]string{
	"kms:grantconstrainttype":  {"EncryptionContextEquals", "EncryptionContextSubset"},
	"organizations:policytype": {"SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"},
	"kms:messagetype":          {"RAW", "DIGEST", "EXTERNAL_MU"},
	"kms:expirationmodel":      {"KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"},
	"kms:grantoperations":      grantOperations(),
}

func grantOperations() []string {
	var list []string
	for _, a := range authz.GrantOperations() {
		_, name, _ := strings.Cut(a.String(), ":")
		list = append(list, name)
	}
	return list
}

// families :: what the names of a family of dims begin with → where a draft has its pairs. It is never written.
var families = map[string]func(*draft) map[string][]string{
	"aws:principaltag/":      func(d *draft) map[string][]string { return d.tags },
	"aws:resourcetag/":       func(d *draft) map[string][]string { return d.resourceTags },
	"aws:requesttag/":        func(d *draft) map[string][]string { return d.requestTags },
	"kms:encryptioncontext:": func(d *draft) map[string][]string { return d.encryptionContext },
}

// family returns the pairs and the name in them that a dim is, or nil.
func family(dim string) (of func(*draft) map[string][]string, name string) {
	for prefix, of := range families {
		if name, ok := strings.CutPrefix(dim, prefix); ok {
			return of, name
		}
	}
	if _, known := authz.ConditionKey(dim); !known && strings.Contains(dim, ":") {
		return func(d *draft) map[string][]string { return d.claims }, dim
	}
	return nil, ""
}
