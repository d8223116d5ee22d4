package keystore

import (
	"fmt"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

// keyRecordV1 is a key as kmsd wrote it when there were only symmetric ones.
type keyRecordV1 struct {
	V             int               `json:"v"`
	Created       time.Time         `json:"created"`
	State         string            `json:"state"`
	Description   string            `json:"description,omitempty"`
	Policy        string            `json:"policy"`
	PolicyUpdated time.Time         `json:"policy_updated"`
	Bindings      map[string]string `json:"bindings,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
}

func decodeKeyV1(value []byte) (keyData, error) {
	var r keyRecordV1
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return keyData{}, err
	}
	d := keyData{
		spec: crypto.SpecSymmetricDefault, usage: crypto.UsageEncryptDecrypt, origin: OriginKMS,
		created: r.Created, policyUpdated: r.PolicyUpdated, description: r.Description,
		policy: (&Policy{document: r.Policy, bindings: r.Bindings}).encode(), tags: tagsOf(r.Tags),
	}
	for _, s := range []State{Enabled, Disabled} {
		if s.String() == r.State {
			d.state = s
			return d, nil
		}
	}
	return keyData{}, fmt.Errorf("%w: state %q", ErrCorrupt, r.State)
}
