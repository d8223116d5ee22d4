package server

import (
	"google.golang.org/protobuf/proto"

	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// isDry reports whether a request says that it is to be checked and not carried out.
func isDry(r proto.Message) bool {
	d, ok := r.(interface{ GetDryRun() bool })
	return ok && d.GetDryRun()
}

// dryAnswer is the answer of a request that would have succeeded: it says so, and what was found in its policy.
func dryAnswer[T proto.Message](out T, findings []*iamv1.Finding) T {
	if f, ok := any(out).(interface{ SetFindings([]*iamv1.Finding) }); ok {
		f.SetFindings(findings)
	}
	if d, ok := any(out).(interface{ SetDryRun(bool) }); ok {
		d.SetDryRun(true)
	}
	return out
}
