package lint

import (
	"strconv"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

func number(n int) string { return strconv.Itoa(n) }

// quotas :: kind → what its documents may have. It is never written.
var quotas = map[authz.PolicyKind]struct {
	size int
	unit string // what is counted
}{
	authz.IdentityPolicy:        {6144, "characters without white space"},
	authz.KeyPolicy:             {32768, "bytes"},
	authz.SessionPolicy:         {2048, "characters"},
	authz.TrustPolicy:           {4096, "bytes"},
	authz.ServiceControlPolicy:  {5120, "bytes"},
	authz.ResourceControlPolicy: {5120, "bytes"},
}

func nearQuota(l *linter) {
	quota := quotas[l.kind]
	size := len(l.doc)
	switch l.kind {
	case authz.IdentityPolicy:
		size = l.policy.Size()
	case authz.SessionPolicy:
		size = len([]rune(l.doc))
	}
	if size*5 > quota.size*4 {
		l.report(0, 0, "The document has "+number(size)+" of "+number(quota.size)+" "+quota.unit+".", "")
	}
}

func oldVersion(l *linter) {
	if l.policy.Version() == "2012-10-17" {
		return
	}
	at := max(0, strings.Index(l.doc, `"2008-10-17"`))
	l.report(0, at, "The policy is written in the version 2008-10-17 of the language.", "")
}
