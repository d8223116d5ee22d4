package authz_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// TestMemoryOfPolicies holds the estimate against the heap, for documents that take much.
func TestMemoryOfPolicies(t *testing.T) {
	repeated := func(n int, statement string) string {
		var list []string
		for i := range n {
			list = append(list, strings.ReplaceAll(statement, "%d", fmt.Sprint(i)))
		}
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
	}
	values := `"a"` + strings.Repeat(`,"b*"`, 60)
	for name, document := range map[string]string{
		"one statement":       repeated(1, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`),
		"short statements":    repeated(200, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`),
		"principals":          repeated(60, `{"Effect":"Deny","Principal":{"AWS":["111122223333","444455556666","777788889999"]},"Action":"kms:De*","Resource":"*"}`),
		"conditions":          repeated(100, `{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:a%d":["*a%d*","b%d*"]}}}`),
		"values of a text":    repeated(60, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":[`+values+`]}}}`),
		"patterns":            repeated(60, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringLike":{"aws:TagKeys":[`+values+`]}}}`),
		"addresses":           repeated(60, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["::/1"`+strings.Repeat(`,"::/1"`, 40)+`]}}}`),
		"numbers":             repeated(60, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"NumericEquals":{"sts:DurationSeconds":["1"`+strings.Repeat(`,"2"`, 60)+`]}}}`),
		"tiny texts":          repeated(60, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":[""`+strings.Repeat(`,""`, 60)+`]}}}`),
		"actions with a star": repeated(25, `{"Effect":"Deny","Principal":"*","Action":["kms:*"`+strings.Repeat(`,"kms:D*"`, 40)+`],"Resource":["*"`+strings.Repeat(`,"arn:*:*:*:*:*?*"`, 40)+`]}`),
	} {
		const copies = 20
		kept := make([]*authz.Policy, copies)
		before := heapInUse()
		for i := range kept {
			p, err := authz.Parse(authz.KeyPolicy, []byte(document))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			kept[i] = p
		}
		if took := (heapInUse() - before) / copies; took > kept[0].Memory() || took < kept[0].Memory()/6 {
			t.Errorf("%s: a policy of %d bytes takes %d bytes, Memory says %d", name, len(document), took, kept[0].Memory())
		}
		runtime.KeepAlive(kept)
	}
}

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestCloneWithin(t *testing.T) {
	var x authz.Context
	x.UserAgent = "kmsctl"
	x.Set(authz.CtxRequestAlias, "alias/a")
	x.SetList(authz.CtxTagKeys, []string{"0123456789"})
	x.EncryptionContext.Set(map[string]string{"0123": "56789"})
	x.RequestTags.Set(map[string]string{"0": "1"})
	for most, want := range map[int]bool{20: false, 21: true} {
		next, whole := x.CloneWithin(most)
		if n := next.EncryptionContext.Len() + next.RequestTags.Len(); whole != want || n == 2 != want || next.UserAgent != "kmsctl" {
			t.Errorf("CloneWithin(%d) has %d pairs, whole %v, want whole %v", most, n, whole, want)
		}
		if next == &x || whole && next.Memory() != x.Memory() || !whole && next.Memory() >= x.Memory() {
			t.Errorf("CloneWithin(%d) takes %d bytes of %d", most, next.Memory(), x.Memory())
		}
	}
	if x.EncryptionContext.Len() != 1 || x.RequestTags.Len() != 1 {
		t.Error("CloneWithin has changed what it copies")
	}
}

func TestGrantsForACaller(t *testing.T) {
	var grants *authz.KeyGrants
	want := 0
	for i := range 300 {
		g := grant(func(g *authz.KeyGrant) { g.ID = fmt.Sprint(i) })
		if i%3 > 0 {
			g.Grantee.ID = "AIDASOMEBODYELSE"
		} else {
			want++
		}
		grants = grants.With(g)
	}
	caller := user(t, aliceARN).caller
	for _, tt := range []struct {
		most, want int
		whole      bool
	}{{300, 300, true}, {299, want, true}, {want, want, true}, {want - 1, want - 1, false}, {0, 0, false}} {
		part, whole := grants.For(&caller, tt.most)
		if part.Len() != tt.want || whole != tt.whole || len(slices.Collect(part.All())) != tt.want {
			t.Errorf("For(alice, %d) = %d grants, whole %v, want %d, %v", tt.most, part.Len(), whole, tt.want, tt.whole)
		}
	}
	if part, whole := (*authz.KeyGrants)(nil).For(&caller, 10); part.Len() != 0 || !whole {
		t.Errorf("For of a key without grants = %d grants, whole %v", part.Len(), whole)
	}
}
