package server

import (
	"time"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func checkScheduleKeyDeletion(v *violations, r *kmsv1.ScheduleKeyDeletionRequest) {
	v.given("key_id", r.GetKeyId())
	v.days("pending_window_in_days", r.GetPendingWindowInDays(), keystore.MinWindowDays, keystore.MaxWindowDays)
}

// days refuses a number of days outside its bounds; 0 stands for the default.
func (v *violations) days(field string, n, least, most int32) {
	if n != 0 && (n < least || n > most) {
		v.add(field, "is %d, must be %d to %d, or 0 for the default", n, least, most)
	}
}

func scheduleKeyDeletion(c *call, r *kmsv1.ScheduleKeyDeletionRequest) (*kmsv1.ScheduleKeyDeletionResponse, error) {
	days := int64(r.GetPendingWindowInDays())
	if days == 0 {
		days = keystore.UsualWindowDays
	}
	c.facts.SetNumber(authz.CtxPendingWindowInDays, days)
	c.param(audit.Int("pendingWindowInDays", days))
	k, err := c.changeKey(authz.KMSScheduleKeyDeletion, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.ScheduleDeletion(g, k.ID, int(days))
	})
	if err != nil {
		return nil, err
	}
	date, window := k.DeletionDate()
	c.param(audit.String("deletionDate", date.Format(time.RFC3339)))
	return kmsv1.ScheduleKeyDeletionResponse_builder{KeyId: k.ARN, DeletionDate: timestamp(date), KeyState: keyStates[k.State], PendingWindowInDays: int32(window)}.Build(), nil
}

func checkCancelKeyDeletion(v *violations, r *kmsv1.CancelKeyDeletionRequest) {
	v.given("key_id", r.GetKeyId())
}

func cancelKeyDeletion(c *call, r *kmsv1.CancelKeyDeletionRequest) (*kmsv1.CancelKeyDeletionResponse, error) {
	k, err := c.changeKey(authz.KMSCancelKeyDeletion, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.CancelDeletion(g, k.ID)
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.CancelKeyDeletionResponse_builder{KeyId: k.ARN, KeyState: keyStates[k.State]}.Build(), nil
}

func checkUpdateKeyDeletionProtection(v *violations, r *kmsv1.UpdateKeyDeletionProtectionRequest) {
	v.given("key_id", r.GetKeyId())
}

func updateKeyDeletionProtection(c *call, r *kmsv1.UpdateKeyDeletionProtectionRequest) (*kmsv1.UpdateKeyDeletionProtectionResponse, error) {
	c.param(audit.Bool("enabled", r.GetEnabled()))
	k, err := c.changeKey(authz.KMSUpdateKeyDeletionProtection, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return keys.SetDeletionProtection(g, k.ID, r.GetEnabled())
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.UpdateKeyDeletionProtectionResponse_builder{KeyId: k.ARN, Enabled: k.DeletionProtection}.Build(), nil
}
