package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where and of what the measurements were made.
type machine struct {
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	Memory float64 `json:"memory_gib"`
	Kernel string  `json:"kernel"`
	Arch   string  `json:"arch"`
	Go     string  `json:"go"`
	Commit string  `json:"commit"`
	Date   string  `json:"date"` // RFC 3339, UTC
	// LoadAverage is that of the minute before the run: what else the machine was doing.
	LoadAverage float64 `json:"load_average_before"`
	Disk        disk    `json:"disk"`
}

func thisMachine(commit string, load float64, d disk) (machine, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return machine{}, fmt.Errorf("asking for the kernel's version: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return machine{}, fmt.Errorf("asking for the size of the memory: %w", err)
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return machine{}, err
	}
	gib := float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	return machine{
		CPU: cpuModel(cpuinfo), Cores: runtime.NumCPU(), Memory: round(gib, 1), Kernel: unix.ByteSliceToString(name.Release[:]), Arch: runtime.GOARCH,
		Go: runtime.Version(), Commit: commit, Date: time.Now().UTC().Format(time.RFC3339), LoadAverage: load, Disk: d,
	}, nil
}

// cpuModel finds the processor's name in /proc/cpuinfo, which has none on some architectures.
func cpuModel(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		name, value, ok := strings.Cut(string(line), ":")
		if ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
