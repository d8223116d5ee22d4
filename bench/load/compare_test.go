package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func round0(server, operation string, cpu, rps float64) sample {
	return sample{Server: server, Operation: operation, Bytes: 64, Callers: 16, ServerCPU: cpu, RPS: rps}
}

func TestFrontsAreComparedRoundByRound(t *testing.T) {
	all, err := compareFronts([]sample{
		round0("grpc", "encrypt", 10, 1000), round0("aws", "encrypt", 15, 900),
		round0("grpc", "encrypt", 100, 100), round0("aws", "encrypt", 180, 90),
		round0("grpc", "encrypt", 10, 1000), round0("aws", "encrypt", 21, 700),
		round0("grpc", "decrypt", 10, 1000), round0("aws", "decrypt", 30, 500),
	})
	if err != nil || len(all) != 2 {
		t.Fatalf("compareFronts = %+v, %v, want two comparisons", all, err)
	}
	// The ratios are 1.5, 1.8 and 2.1.
	if c := all[0]; c.operation != "encrypt" || c.ratio != 1.8 || c.ratioLeast != 1.5 || c.ratioMost != 2.1 || c.rounds != 3 || c.grpcCPU != 10 || c.awsCPU != 21 || c.awsRPS != 700 {
		t.Errorf("encrypt is %+v, want the ratio 1.8 (1.5 to 2.1) and the medians 10 and 21 µs", c)
	}
	for name, samples := range map[string][]sample{
		"nothing":                    nil,
		"one front alone":            {round0("grpc", "encrypt", 10, 1)},
		"a round without its other":  {round0("grpc", "encrypt", 10, 1), round0("aws", "encrypt", 10, 1), round0("aws", "encrypt", 10, 1)},
		"a round without a CPU time": {round0("grpc", "encrypt", 0, 1), round0("aws", "encrypt", 10, 1)},
	} {
		if all, err := compareFronts(samples); err == nil {
			t.Errorf("%s: compareFronts = %+v, want an error", name, all)
		}
	}
}

func TestCompareFailsWhereTheFrontIsDear(t *testing.T) {
	for _, tt := range []struct {
		operation string
		cpu       float64
		dear      bool
	}{{"encrypt", 20, false}, {"encrypt", 20.1, true}, {"generate-data-key", 50, false}} {
		path := filepath.Join(t.TempDir(), "samples.json")
		var b strings.Builder
		for _, s := range []sample{round0("grpc", tt.operation, 10, 1), round0("aws", tt.operation, tt.cpu, 1)} {
			if err := json.NewEncoder(&b).Encode(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, said strings.Builder
		code := run(t.Context(), []string{"compare", "--samples", path}, &out, &said)
		if (code != 0) != tt.dear || !strings.Contains(out.String(), tt.operation) {
			t.Errorf("%s at %v against 10 µs: exit code %d, %q, %q", tt.operation, tt.cpu, code, out.String(), said.String())
		}
	}
}
