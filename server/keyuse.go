package server

import (
	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func checkGetKeyLastUsage(v *violations, r *kmsv1.GetKeyLastUsageRequest) {
	v.given("key_id", r.GetKeyId())
}

func getKeyLastUsage(c *call, r *kmsv1.GetKeyLastUsageRequest) (*kmsv1.GetKeyLastUsageResponse, error) {
	t, err := c.target("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSGetKeyLastUsage, t); err != nil {
		return nil, err
	}
	k := t.key
	last, _ := k.LastUse()
	return kmsv1.GetKeyLastUsageResponse_builder{
		KeyId: k.ARN, KeyCreationDate: timestamp(k.Created), KeyLastUsage: lastUsage(last), TrackingStartDate: timestamp(k.TrackingStart()),
	}.Build(), nil
}

// lastUsage is a use of a key in the API; that of no use is unset.
func lastUsage(u keystore.LastUse) *kmsv1.KeyLastUsage {
	if u.Time.IsZero() {
		return nil
	}
	return kmsv1.KeyLastUsage_builder{
		Operation: u.Operation, Timestamp: timestamp(u.Time), EventId: audit.ID(u.Event).String(), RequestId: audit.ID(u.Request).String(),
	}.Build()
}
