package main

import (
	"strings"
	"testing"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
)

// fronts returns kmsd as both kinds of clients call it.
func fronts(t testing.TB, h2 bool) (target, *awsTarget) {
	t.Helper()
	k := kmstest.New(t, nil)
	if err := makeUser(t.Context(), k.Root()); err != nil {
		t.Fatal(err)
	}
	credentials := k.Credentials()
	grpc := newTarget(k.Client(credentials))
	a, err := newAWSTarget(k.AWSEndpoint(), credentials, 4, h2, grpc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return grpc, a
}

func TestBothFrontsAreCalledAlike(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		grpc, a := fronts(t, h2)
		for _, tt := range []struct {
			operation string
			bytes     int
		}{{"encrypt", 64}, {"encrypt", 4096}, {"decrypt", 64}, {"generate-data-key", 32}, {"describe-key", 0}} {
			for front, prepare := range map[string]preparing{"grpc": grpc.prepare, "aws": a.prepare} {
				e, err := prepare(t.Context(), tt.operation, tt.bytes)
				if err != nil {
					t.Errorf("%s, HTTP/2 %v: %s of %d bytes: %v", front, h2, tt.operation, tt.bytes, err)
					continue
				}
				if err := e.call(t.Context()); err != nil || e.requestBytes == 0 || e.answerBytes == 0 {
					t.Errorf("%s, HTTP/2 %v: %s of %d bytes once more: %v; it has %d and %d bytes", front, h2, tt.operation, tt.bytes, err, e.requestBytes, e.answerBytes)
				}
			}
		}
		if _, err := a.call(t.Context(), "Encrypt", []byte(`{"KeyId":"alias/none","Plaintext":"AA=="}`)); err == nil || !strings.Contains(err.Error(), "NotFoundException") {
			t.Errorf("a call that kmsd refuses ended with %v, want a NotFoundException", err)
		}
		if _, err := a.prepare(t.Context(), "explode", 0); err == nil {
			t.Error("an operation that there is not was prepared")
		}
	}
	if _, err := newAWSTarget("https://localhost", client.Credentials{}, 1, false, target{}); err == nil {
		t.Error("a target was made of credentials that cannot sign")
	}
}

// BenchmarkFronts has client and server in one process: its allocations are of both.
func BenchmarkFronts(b *testing.B) {
	grpc, a := fronts(b, false)
	for front, prepare := range map[string]preparing{"grpc": grpc.prepare, "aws": a.prepare} {
		b.Run(front, func(b *testing.B) {
			e, err := prepare(b.Context(), "encrypt", 64)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := e.call(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
