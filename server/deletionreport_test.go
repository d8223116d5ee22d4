package server

import (
	"testing"
	"time"
)

// How long ago something was is told in the largest unit that fits.
func TestAgo(t *testing.T) {
	now := time.Now()
	for before, want := range map[time.Duration]string{
		-time.Minute: "less than a minute", 0: "less than a minute", 59 * time.Second: "less than a minute", time.Minute: "1 minute", 3 * time.Minute: "3 minutes",
		time.Hour - 1: "59 minutes", time.Hour: "1 hour", 47 * time.Hour: "1 day", 400 * 24 * time.Hour: "400 days",
	} {
		if got := ago(now, now.Add(-before)); got != want {
			t.Errorf("ago(%v before now) = %q, want %q", before, got, want)
		}
	}
}
