package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func measured(server string, rps float64) sample {
	return sample{Server: server, Operation: "encrypt", Credential: "access-key", Bytes: 64, Callers: 16, Connections: 1, RequestBytes: 85, AnswerBytes: 342, Calls: 10, RPS: rps, P50: 100, P99: 200, ServerCPU: 20}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		all  []float64
		want float64
	}{{[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := median(slices.Clone(test.all)); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.all, got, test.want)
		}
	}
}

// A round in which both servers were slow says as much of their ratio as any other.
func TestRatioIsOfNeighbours(t *testing.T) {
	results, err := summarize([]sample{measured(echo, 1000), measured(kmsd, 800), measured(echo, 100), measured(kmsd, 70), measured(echo, 2000), measured(kmsd, 1800)})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Server != echo || results[1].Server != kmsd {
		t.Fatalf("got %+v, want one result of the echo server and one of kmsd", results)
	}
	e, k := results[0], results[1]
	if e.Ratio != 1 || k.Ratio != 0.8 || k.RatioMin != 0.7 || k.RatioMax != 0.9 {
		t.Errorf("ratios: echo %v, kmsd %v (%v–%v), want 1, 0.8 (0.7–0.9)", e.Ratio, k.Ratio, k.RatioMin, k.RatioMax)
	}
	if e.RPS != 1000 || k.RPS != 800 || k.Rounds != 3 {
		t.Errorf("medians: echo %v, kmsd %v of %d rounds, want 1000 and 800 of 3", e.RPS, k.RPS, k.Rounds)
	}
}

func TestDisturbedRoundsAreLeftOutIfQuietOnesAreEnough(t *testing.T) {
	loud := func(s sample) sample { s.OtherCPU = 0.7; return s }
	for name, test := range map[string]struct {
		samples         []sample
		ratio           float64
		rounds, leftOut int
	}{
		"two quiet rounds of three": {[]sample{measured(echo, 100), measured(kmsd, 50), loud(measured(echo, 10)), measured(kmsd, 90), measured(echo, 100), measured(kmsd, 70)}, 0.6, 2, 1},
		"kmsd disturbed":            {[]sample{measured(echo, 100), measured(kmsd, 50), measured(echo, 100), loud(measured(kmsd, 10)), measured(echo, 100), measured(kmsd, 70)}, 0.6, 2, 1},
		"one quiet round of three":  {[]sample{measured(echo, 100), measured(kmsd, 50), loud(measured(echo, 100)), measured(kmsd, 90), measured(echo, 100), loud(measured(kmsd, 70))}, 0.7, 3, 0},
	} {
		results, err := summarize(test.samples)
		if err != nil {
			t.Fatal(err)
		}
		if k := results[1]; k.Ratio != test.ratio || k.Rounds != test.rounds || k.LeftOut != test.leftOut {
			t.Errorf("%s: ratio %v of %d rounds, %d left out; want %v of %d, %d left out", name, k.Ratio, k.Rounds, k.LeftOut, test.ratio, test.rounds, test.leftOut)
		}
	}
}

func TestWhatCannotBeCompared(t *testing.T) {
	other := func(s sample, change func(*sample)) sample { change(&s); return s }
	checksum := other(measured(kmsd, 1), func(s *sample) { s.AnswerBytes-- })
	if _, err := summarize([]sample{measured(echo, 1), checksum}); err != nil {
		t.Errorf("a checksum that is shorter by a byte was refused: %v", err)
	}
	for name, samples := range map[string][]sample{
		"nothing":                          nil,
		"kmsd without the echo server":     {measured(kmsd, 1)},
		"the echo server without kmsd":     {measured(echo, 1)},
		"a round too few":                  {measured(echo, 1), measured(kmsd, 1), measured(echo, 1)},
		"an echo of short answers":         {other(measured(echo, 1), func(s *sample) { s.AnswerBytes = 100 }), measured(kmsd, 1)},
		"an echo of short requests":        {other(measured(echo, 1), func(s *sample) { s.RequestBytes = 10 }), measured(kmsd, 1)},
		"another number of callers":        {measured(echo, 1), other(measured(kmsd, 1), func(s *sample) { s.Callers = 64 })},
		"another number of connections":    {measured(echo, 1), other(measured(kmsd, 1), func(s *sample) { s.Connections = 2 })},
		"signatures against certificates":  {measured(echo, 1), other(measured(kmsd, 1), func(s *sample) { s.Credential = "certificate" })},
		"plaintexts of different lengths":  {measured(echo, 1), other(measured(kmsd, 1), func(s *sample) { s.Bytes = 1024 })},
		"operations that are not the same": {measured(echo, 1), other(measured(kmsd, 1), func(s *sample) { s.Operation = "decrypt" })},
	} {
		if got, err := summarize(samples); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func TestReportWritesTableAndJSON(t *testing.T) {
	dir := t.TempDir()
	in, diskFile, out := filepath.Join(dir, "samples"), filepath.Join(dir, "disk"), filepath.Join(dir, "latest.json")
	var lines strings.Builder
	for _, s := range []sample{measured(echo, 1000), measured(kmsd, 750)} {
		if err := json.NewEncoder(&lines).Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range map[string]string{in: lines.String(), diskFile: `{"filesystem":"ext4","fdatasync_p50_us":143,"fdatasync_p99_us":291}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var table, said strings.Builder
	if code := run(t.Context(), []string{"report", "--samples", in, "--disk", diskFile, "--commit", "abc", "--out", out}, &table, &said); code != 0 {
		t.Fatalf("load report = %d: %s", code, said.String())
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Machine.Commit != "abc" || r.Machine.Cores < 1 || r.Machine.Disk.P50 != 143 || len(r.Results) != 2 || r.Results[1].Ratio != 0.75 {
		t.Errorf("latest.json holds %+v", r)
	}
	for _, name := range []string{`"server"`, `"operation"`, `"bytes"`, `"callers"`, `"rps"`, `"p50_us"`, `"p99_us"`, `"server_cpu_us"`, `"ratio_to_echo"`} {
		if !strings.Contains(string(b), name) {
			t.Errorf("latest.json has no member %s", name)
		}
	}
	if !strings.Contains(table.String(), "0.75") || !strings.Contains(table.String(), "fdatasync of 512 bytes on ext4: p50 143 µs") {
		t.Errorf("the table is\n%s", table.String())
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	d, err := probe(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.P50 < 1 || d.P99 < d.P50 || d.Filesystem == "" {
		t.Errorf("probe = %+v", d)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the probe left %v, %v", left, err)
	}
}

func TestCPUModel(t *testing.T) {
	for in, want := range map[string]string{
		"processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC: 7\n": "AMD EPYC: 7",
		"processor\t: 0\nBogoMIPS\t: 50.00\n":                       "unknown",
		"":                                                          "unknown",
	} {
		if got := cpuModel([]byte(in)); got != want {
			t.Errorf("cpuModel(%q) = %q, want %q", in, got, want)
		}
	}
}
