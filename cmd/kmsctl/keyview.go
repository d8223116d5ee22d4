package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// keyView is a key as JSON shows it.
type keyView struct {
	KeyID                   string       `json:"key_id"`
	ARN                     string       `json:"arn"`
	Account                 string       `json:"aws_account_id,omitempty"`
	Aliases                 []string     `json:"aliases"`
	KeyState                string       `json:"key_state,omitempty"`
	Description             string       `json:"description"`
	Created                 time.Time    `json:"creation_date,omitzero"`
	KeySpec                 string       `json:"key_spec,omitempty"`
	KeyUsage                string       `json:"key_usage,omitempty"`
	Origin                  string       `json:"origin,omitempty"`
	Material                string       `json:"current_key_material_id,omitempty"`
	EncryptionAlgorithms    []string     `json:"encryption_algorithms,omitempty"`
	SigningAlgorithms       []string     `json:"signing_algorithms,omitempty"`
	MacAlgorithms           []string     `json:"mac_algorithms,omitempty"`
	KeyAgreementAlgorithms  []string     `json:"key_agreement_algorithms,omitempty"`
	EncapsulationAlgorithms []string     `json:"encapsulation_algorithms,omitempty"`
	Versions                int32        `json:"version_count,omitempty"`
	RotationEnabled         bool         `json:"key_rotation_enabled"`
	RotationPeriod          int32        `json:"rotation_period_in_days,omitempty"`
	NextRotation            time.Time    `json:"next_rotation_date,omitzero"`
	DeletionProtected       bool         `json:"deletion_protection_enabled"`
	DeletionDate            time.Time    `json:"deletion_date,omitzero"`
	DeletionWindow          int32        `json:"pending_deletion_window_in_days,omitempty"`
	ExpirationModel         string       `json:"expiration_model,omitempty"`
	ValidTo                 time.Time    `json:"valid_to,omitzero"`
	LastUsage               *lastUseView `json:"last_usage,omitempty"`
	Tags                    tagsView     `json:"tags,omitempty"`
}

// lastUseView is the last use of a key as JSON shows it.
type lastUseView struct {
	Operation string    `json:"operation"`
	Timestamp time.Time `json:"timestamp"`
	EventID   string    `json:"event_id,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
}

// instantOf is a time of the API; the zero time if it is not set.
func instantOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func viewOfKey(m *kmsv1.KeyMetadata) keyView {
	v := keyView{
		KeyID: m.GetKeyId(), ARN: m.GetArn(), Account: m.GetAwsAccountId(), Aliases: append([]string{}, m.GetAliases()...),
		KeyState: title(trimEnum(m.GetKeyState(), "KEY_STATE_")), Description: m.GetDescription(), Created: instantOf(m.GetCreationDate()),
		KeySpec: trimEnum(m.GetKeySpec(), "KEY_SPEC_"), KeyUsage: trimEnum(m.GetKeyUsage(), "KEY_USAGE_"),
		Origin: trimEnum(m.GetOrigin(), "KEY_MATERIAL_ORIGIN_"), Material: m.GetCurrentKeyMaterialId(),
		EncryptionAlgorithms:    namesOf(encryptionAlgorithms.prefix, m.GetEncryptionAlgorithms()),
		SigningAlgorithms:       namesOf(signingAlgorithms.prefix, m.GetSigningAlgorithms()),
		MacAlgorithms:           namesOf(macAlgorithms.prefix, m.GetMacAlgorithms()),
		KeyAgreementAlgorithms:  namesOf("KEY_AGREEMENT_ALGORITHM_SPEC_", m.GetKeyAgreementAlgorithms()),
		EncapsulationAlgorithms: namesOf("ENCAPSULATION_ALGORITHM_SPEC_", m.GetEncapsulationAlgorithms()),
		Versions:                m.GetVersionCount(), RotationEnabled: m.GetKeyRotationEnabled(), RotationPeriod: m.GetRotationPeriodInDays(), NextRotation: instantOf(m.GetNextRotationDate()),
		DeletionProtected: m.GetDeletionProtectionEnabled(), DeletionDate: instantOf(m.GetDeletionDate()), DeletionWindow: m.GetPendingDeletionWindowInDays(),
		ExpirationModel: specified(trimEnum(m.GetExpirationModel(), "EXPIRATION_MODEL_")), ValidTo: instantOf(m.GetValidTo()),
	}
	if use := m.GetLastUsage(); use != nil {
		v.LastUsage = &lastUseView{Operation: use.GetOperation(), Timestamp: instantOf(use.GetTimestamp())}
	}
	return v
}

// specified is the name of an enum's value, "" for the one that says nothing.
func specified(name string) string {
	if name == "UNSPECIFIED" {
		return ""
	}
	return name
}

func (k keyView) algorithms() []string {
	return slices.Concat(k.EncryptionAlgorithms, k.SigningAlgorithms, k.MacAlgorithms, k.KeyAgreementAlgorithms, k.EncapsulationAlgorithms)
}

// table shows the key on less than one screen of 24 lines.
func (k keyView) table(now time.Time) view {
	rotation := "by hand only"
	if k.RotationEnabled {
		rotation = fmt.Sprintf("every %d days, next %s", k.RotationPeriod, stamp(k.NextRotation))
	}
	deletion := "not protected"
	switch {
	case !k.DeletionDate.IsZero():
		deletion = fmt.Sprintf("will be deleted at %s, in %s", stamp(k.DeletionDate), age(k.DeletionDate.Sub(now)))
	case k.DeletionProtected:
		deletion = "protected"
	}
	v := pairs("key id", k.KeyID, "arn", k.ARN, "aliases", strings.Join(k.Aliases, ", "), "state", k.KeyState, "description", k.Description, "created", stamp(k.Created),
		"spec", k.KeySpec, "usage", k.KeyUsage, "algorithms", strings.Join(k.algorithms(), ", "), "origin", k.Origin, "material", k.Material,
		"versions", fmt.Sprint(k.Versions), "rotation", rotation, "deletion", deletion)
	switch {
	case !k.ValidTo.IsZero():
		v = v.given("expires", stamp(k.ValidTo)+", in "+age(k.ValidTo.Sub(now)))
	case k.ExpirationModel != "" && k.KeyState != "PendingImport":
		v = v.given("expires", "never")
	}
	return v.given("last use", k.LastUsage.words(now)).given("tags", k.Tags.words())
}

// words is the use in a table; "-" if there was none.
func (u *lastUseView) words(now time.Time) string {
	if u == nil {
		return "-"
	}
	return fmt.Sprintf("%s, %s ago (%s)", u.Operation, age(now.Sub(u.Timestamp)), stamp(u.Timestamp))
}

// age is a duration for people, in its largest unit: "3d". What has not begun is "0s".
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 2*365*day:
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dy", d/(365*day))
}
