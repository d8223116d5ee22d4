package authz

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// volume is the encryption context of a volume.
func volume(i int, stage string) Pairs {
	return NewPairs(map[string]string{"app": fmt.Sprint(i), "stage": stage})
}

// grantsCase is a key with 50,000 grants for the caller, each changed by its number, and a request of volume 1.
func grantsCase(tb testing.TB, change func(i int, g *KeyGrant)) (*Caller, *Resource, *Context) {
	r := benchResource(tb, strings.Replace(benchDefault, "111122223333", "999999999999", 1))
	r.Grants = CollectKeyGrants(func(yield func(*KeyGrant) bool) {
		for i := range 50_000 {
			g := KeyGrant{
				ID: fmt.Sprint(i), Grantee: Principal{Level: DirectLevel, ID: "AIDAALICE00000000001"},
				Actions: []Action{KMSEncrypt, KMSDecrypt, KMSDescribeKey},
			}
			if change(i, &g); !yield(&g) {
				return
			}
		}
	})
	x := benchContext()
	x.EncryptionContext = volume(1, "prod")
	return benchCaller(tb), r, x
}

// manyForOne is a key with as many grants as it may have, all for the caller and each for three of the 64 pairs that the request
// has. None helps.
func manyForOne(tb testing.TB) (*Caller, *Resource) {
	caller, r, _ := grantsCase(tb, func(i int, g *KeyGrant) {
		g.Actions = []Action{KMSGenerateDataKey}
		g.Expires = time.Unix(1, 0)
		m := map[string]string{}
		for _, n := range [...]int{i % 64, i / 64 % 64, i / 4096} {
			m[fmt.Sprint("pair", n)] = "value"
		}
		g.Subset = NewPairs(m)
	})
	return caller, r
}

// everyPair is a request with the pairs of manyForOne.
func everyPair() *Context {
	m := map[string]string{}
	for i := range 64 {
		m[fmt.Sprint("pair", i)] = "value"
	}
	return &Context{EncryptionContext: NewPairs(m)}
}
