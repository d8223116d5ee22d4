package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func (a *app) keyRotateCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "rotate KEY", Short: "give a key new material", Args: takes("KEY"),
		Long: `rotate adds a version to a symmetric key and makes it the one that encrypts; all others go on decrypting. A key can be rotated 25 times by hand. One with
imported material is rotated to the material that kmsctl key import --new has brought. With --client-token a repetition does not rotate again.`,
		Example: "  kmsctl key rotate 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().RotateKeyOnDemand(ctx, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: args[0], ClientToken: f.token, DryRun: f.on}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{out.GetKeyId(), out.GetKeyMaterialId()}, "rotated %s: material %s encrypts from now on", out.GetKeyId(), out.GetKeyMaterialId())
	})
	return cmd
}

func (a *app) keyRotationCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "rotation", Short: "have a key rotated by itself",
		Long:    "A symmetric key whose material kmsd made can be rotated by itself every 90 to 2560 days. Nothing has to be encrypted again: all versions go on decrypting.",
		Example: "  kmsctl key rotation enable 1234abcd-12ab-34cd-56ef-1234567890ab --period 180\n  kmsctl key rotation status 1234abcd-12ab-34cd-56ef-1234567890ab",
	}, a.rotationEnableCommand(), a.rotationDisableCommand(), a.rotationStatusCommand())
}

// rotationStatusView is how a key is rotated.
type rotationStatusView struct {
	KeyID   string    `json:"key_id"`
	Enabled bool      `json:"key_rotation_enabled"`
	Period  int32     `json:"rotation_period_in_days,omitempty"`
	Next    time.Time `json:"next_rotation_date,omitzero"`
	Left    *int32    `json:"on_demand_rotations_left,omitempty"`
}

func (a *app) rotationEnableCommand() *cobra.Command {
	var period int32
	var f changeFlags
	cmd := &cobra.Command{
		Use: "enable KEY", Short: "have a key rotated at regular intervals", Args: takes("KEY"),
		Long:    "enable has a symmetric key rotated every --period days, counted from when it was made or rotated last; enabled again, it changes the period. KEY is a key's id or ARN.",
		Example: "  kmsctl key rotation enable 1234abcd-12ab-34cd-56ef-1234567890ab\n  kmsctl key rotation enable 1234abcd-12ab-34cd-56ef-1234567890ab --period 90",
	}
	cmd.Flags().Int32Var(&period, "period", 0, "`DAYS` between rotations, 90 to 2560 (default: those that the key had, or 365)")
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().EnableKeyRotation(ctx, kmsv1.EnableKeyRotationRequest_builder{
			KeyId: args[0], RotationPeriodInDays: period, DryRun: f.on, ClientToken: f.token,
		}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		v := rotationStatusView{KeyID: out.GetKeyId(), Enabled: true, Period: out.GetRotationPeriodInDays(), Next: instantOf(out.GetNextRotationDate())}
		return a.done(v, "%s is rotated every %d days, next at %s", v.KeyID, v.Period, stamp(v.Next))
	})
	return cmd
}

func (a *app) rotationDisableCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "disable KEY", Short: "end automatic rotation of a key", Args: takes("KEY"),
		Long:    "disable ends automatic rotation; kmsctl key rotate still rotates by hand. KEY is a key's id or ARN.",
		Example: "  kmsctl key rotation disable 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().DisableKeyRotation(ctx, kmsv1.DisableKeyRotationRequest_builder{KeyId: args[0], DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(rotationStatusView{KeyID: out.GetKeyId()}, "%s is not rotated by itself any more", out.GetKeyId())
	})
	return cmd
}

func (a *app) rotationStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status KEY", Short: "show how a key is rotated", Args: takes("KEY"),
		Long:    "status shows whether a key is rotated by itself, when next, and how often it can still be rotated by hand. KEY is a key's id or ARN.",
		Example: "  kmsctl key rotation status 1234abcd-12ab-34cd-56ef-1234567890ab",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Keys().GetKeyRotationStatus(ctx, kmsv1.GetKeyRotationStatusRequest_builder{KeyId: args[0]}.Build())
			if err != nil {
				return err
			}
			left := out.GetOnDemandRotationsLeft()
			v := rotationStatusView{out.GetKeyId(), out.GetKeyRotationEnabled(), out.GetRotationPeriodInDays(), instantOf(out.GetNextRotationDate()), &left}
			return a.emit(v, func() view {
				state := "by hand only"
				if v.Enabled {
					state = fmt.Sprintf("every %d days", v.Period)
				}
				return pairs("key id", v.KeyID, "rotated", state, "next", stamp(v.Next), "rotations by hand left", fmt.Sprint(left))
			})
		}),
	}
}

// rotationView is one version of a key.
type rotationView struct {
	KeyID       string    `json:"key_id"`
	Version     int32     `json:"version"`
	Material    string    `json:"key_material_id"`
	State       string    `json:"key_material_state"`
	Date        time.Time `json:"rotation_date"`
	Type        string    `json:"rotation_type,omitempty"`
	Import      string    `json:"import_state,omitempty"`
	Expires     string    `json:"expiration_model,omitempty"`
	ValidTo     time.Time `json:"valid_to,omitzero"`
	Description string    `json:"key_material_description,omitempty"`
}

func viewOfRotation(e *kmsv1.RotationsListEntry) rotationView {
	return rotationView{
		e.GetKeyId(), e.GetVersion(), e.GetKeyMaterialId(), trimEnum(e.GetKeyMaterialState(), "KEY_MATERIAL_STATE_"),
		e.GetRotationDate().AsTime(), specified(trimEnum(e.GetRotationType(), "ROTATION_TYPE_")),
		specified(trimEnum(e.GetImportState(), "IMPORT_STATE_")), specified(trimEnum(e.GetExpirationModel(), "EXPIRATION_MODEL_")),
		instantOf(e.GetValidTo()), e.GetKeyMaterialDescription(),
	}
}

func (a *app) keyRotationsCommand() *cobra.Command {
	var rotated bool
	cmd := &cobra.Command{
		Use: "rotations KEY", Short: "list the versions of a key", Args: takes("KEY"),
		Long:    "rotations lists the versions of a key, the latest first, with what became of imported material. KEY is a key's id or ARN.",
		Example: "  kmsctl key rotations 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	cmd.Flags().BoolVar(&rotated, "rotations-only", false, "leave out what did not come about by rotation: the first version")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		include := kmsv1.IncludeKeyMaterial_INCLUDE_KEY_MATERIAL_ALL_KEY_MATERIAL
		if rotated {
			include = kmsv1.IncludeKeyMaterial_INCLUDE_KEY_MATERIAL_ROTATIONS_ONLY
		}
		entries, err := allPages(func(marker string) ([]*kmsv1.RotationsListEntry, string, error) {
			out, err := c.Keys().ListKeyRotations(ctx, kmsv1.ListKeyRotationsRequest_builder{KeyId: args[0], Limit: 1000, Marker: marker, IncludeKeyMaterial: include}.Build())
			return out.GetRotations(), out.GetNextMarker(), err
		})
		if err != nil {
			return err
		}
		versions := each(entries, viewOfRotation)
		return a.emit(versions, func() view { return tableOfRotations(versions) })
	})
	return cmd
}

// tableOfRotations has columns for imported material if there is any.
func tableOfRotations(versions []rotationView) view {
	v := view{header: []string{"VERSION", "STATE", "DATE", "TYPE", "MATERIAL"}, empty: "there are no versions"}
	imported := false
	for _, r := range versions {
		imported = imported || r.Import != ""
	}
	if imported {
		v.header = append(v.header, "IMPORT", "EXPIRES", "DESCRIPTION")
	}
	for _, r := range versions {
		row := []string{fmt.Sprint(r.Version), r.State, stamp(r.Date), r.Type, r.Material}
		if imported {
			row = append(row, r.Import, stamp(r.ValidTo), shorten(r.Description, 40))
		}
		v.rows = append(v.rows, row)
	}
	return v
}
