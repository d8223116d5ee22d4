package aws

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/dynamicpb"
)

// TestHostileForms: the largest forms, as bad as they can be, take little time and memory, whether they are decoded or refused.
func TestHostileForms(t *testing.T) {
	const size = 1 << 20
	repeated := func(f func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(f(i))
		}
		return b.String()
	}
	deep := strings.Repeat(".member.1", (maxNameParts-1)/2)
	for name, form := range map[string]string{
		"only ampersands":              strings.Repeat("&", size),
		"pairs without names":          strings.Repeat("=&", size/2),
		"one long name":                strings.Repeat("a", size),
		"one long value":               "UserName=" + strings.Repeat("a", size),
		"escapes":                      "UserName=" + strings.Repeat("%41", size/3),
		"broken escapes":               "UserName=" + strings.Repeat("%4", size/2),
		"dots":                         strings.Repeat(".", size),
		"members of a list":            repeated(func(i int) string { return fmt.Sprintf("TagKeys.member.%d=a&", i+1) }),
		"deep names below a known one": repeated(func(i int) string { return fmt.Sprintf("Tags.%d%s.%0200d=a&", i, deep, i) }),
		"as many pairs as may be, deep": strings.Join(strings.SplitN(repeated(func(i int) string {
			return fmt.Sprintf("Tags.a%d.b%d.c%d.d%d.e%d.f%d.g%d=a&", i, i, i, i, i, i, i)
		}), "&", maxPairs)[:maxPairs-1], "&"),
		"actions": strings.Repeat("Action=a&", size/9),
	} {
		t.Run(name, func(t *testing.T) {
			op := querySide(t, "iam", "TagUser")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			started := time.Now()
			queryAction([]byte(form))
			err := op.service.protocol.decode(op, []byte(form), dynamicpb.NewMessage(op.in.message))
			took := time.Since(started)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("the form is decoded without an error")
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 || took > time.Second {
				t.Errorf("it took %v and %d KiB of memory", took, used>>10)
			} else {
				t.Logf("it took %v and %d KiB of memory: %.80v", took, used>>10, err)
			}
		})
	}
}
