package server

import (
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func checkGetKeyDeletionReport(v *violations, r *kmsv1.GetKeyDeletionReportRequest) {
	v.given("key_id", r.GetKeyId())
}

func getKeyDeletionReport(c *call, r *kmsv1.GetKeyDeletionReportRequest) (*kmsv1.GetKeyDeletionReportResponse, error) {
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	for _, a := range []authz.Action{authz.KMSDescribeKey, authz.KMSGetKeyLastUsage} { // without the last use it would say that there was none
		if _, err := c.authorize(a, t); err != nil {
			return nil, err
		}
	}
	k := t.key
	deletion, _ := k.DeletionDate()
	last, _ := k.LastUse()
	refused, lastRefused := k.Refused()
	return kmsv1.GetKeyDeletionReportResponse_builder{
		KeyId: k.ARN, KeyState: keyStates[c.state(k)], DeletionDate: timestamp(deletion), DeletionProtectionEnabled: k.DeletionProtection,
		KeyLastUsage: lastUsage(last), TrackingStartDate: timestamp(k.TrackingStart()), DisabledDate: timestamp(k.DisabledDate()),
		RefusedUses: refused, LastRefusedUsage: lastUsage(lastRefused), Aliases: c.aliases(k), Grants: int64(k.GrantCount()), Versions: int64(k.VersionCount()),
		Warnings: c.warnings(k),
	}.Build(), nil
}

// warnings are what speaks against deleting a key, in words.
func (c *call) warnings(k *keystore.Key) (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	now := c.s.keys.Now()
	if last, used := k.LastUse(); used {
		say("It was used %s ago, by %s.", ago(now, last.Time), last.Operation)
	} else if k.TrackingStart().After(k.Created) {
		say("Uses are tracked only since %s: whether it was used before is not known.", k.TrackingStart().UTC().Format(time.DateOnly))
	}
	if n, last := k.Refused(); n > 0 {
		say("%s since it cannot be used, the last one %s ago, by %s: somebody misses it.", counted(n, "use was refused", "uses were refused"), ago(now, last.Time), last.Operation)
	}
	if c.state(k) == keystore.Enabled {
		say("It was not disabled to see who misses it.")
	}
	if n := len(c.aliases(k)); n > 0 {
		say("%s, and will be deleted with it.", counted(int64(n), "alias points to it", "aliases point to it"))
	}
	if n := k.GrantCount(); n > 0 {
		say("%s, and will be deleted with it.", counted(int64(n), "grant lets somebody use it", "grants let somebody use it"))
	}
	return all
}

// counted is a number with what there are so many of.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// ago is how long before now something was, in one unit.
func ago(now, at time.Time) string {
	d := now.Sub(at)
	for _, unit := range []struct {
		size      time.Duration
		one, many string
	}{{24 * time.Hour, "day", "days"}, {time.Hour, "hour", "hours"}, {time.Minute, "minute", "minutes"}} {
		if d >= unit.size {
			return counted(int64(d/unit.size), unit.one, unit.many)
		}
	}
	return "less than a minute"
}
