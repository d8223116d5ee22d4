package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func (a *app) keyMaterialCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "material", Short: "stop one version of a key, or delete imported material",
		Long:    "A key that was rotated has several materials, its versions: kmsctl key rotations lists them. KEY is a key's id or ARN, MATERIAL the id of a version.",
		Example: "  kmsctl key material disable 1234abcd-12ab-34cd-56ef-1234567890ab MATERIAL",
	}, a.materialDisableCommand(), a.materialEnableCommand(), a.materialDeleteCommand())
}

func (a *app) materialDisableCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "disable KEY MATERIAL", Short: "stop one version of a key, at once", Args: takes("KEY", "MATERIAL"),
		Long:    "disable stops a version that is not the one that encrypts: what was encrypted under it cannot be decrypted until it is enabled again.",
		Example: "  kmsctl key material disable 1234abcd-12ab-34cd-56ef-1234567890ab MATERIAL",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if !f.on {
			if err := a.confirm("Disable the material %s? What was encrypted under it cannot be decrypted until it is enabled again.", shorten(args[1], 70)); err != nil {
				return err
			}
		}
		out, err := c.Keys().DisableKeyMaterial(ctx, kmsv1.DisableKeyMaterialRequest_builder{KeyId: args[0], KeyMaterialId: args[1], DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{out.GetKeyId(), out.GetKeyMaterialId()}, "disabled the material %s of %s", out.GetKeyMaterialId(), out.GetKeyId())
	})
	return cmd
}

func (a *app) materialEnableCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "enable KEY MATERIAL", Short: "let a stopped version be used again", Args: takes("KEY", "MATERIAL"),
		Long:    "enable lets a version that was stopped decrypt again.",
		Example: "  kmsctl key material enable 1234abcd-12ab-34cd-56ef-1234567890ab MATERIAL",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().EnableKeyMaterial(ctx, kmsv1.EnableKeyMaterialRequest_builder{KeyId: args[0], KeyMaterialId: args[1], DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{out.GetKeyId(), out.GetKeyMaterialId()}, "enabled the material %s of %s", out.GetKeyMaterialId(), out.GetKeyId())
	})
	return cmd
}

func (a *app) materialDeleteCommand() *cobra.Command {
	var material string
	var f changeFlags
	cmd := &cobra.Command{
		Use: "delete KEY", Short: "delete imported material, at once", Args: takes("KEY"),
		Long: `delete deletes imported material at once: the key waits for an import then, and nothing can be done with it. The same material, which you must have kept, can be
imported again (kmsctl key import). It does not wait, as the deletion of a key does.`,
		Example: "  kmsctl key material delete 1234abcd-12ab-34cd-56ef-1234567890ab\n  kmsctl key material delete 1234abcd-12ab-34cd-56ef-1234567890ab --material MATERIAL",
	}
	cmd.Flags().StringVar(&material, "material", "", "`ID` of the version (default: the one that encrypts)")
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if !f.on {
			if err := a.confirm("Delete the imported material of %s? Nothing can be done with the key until the same material is imported again: do you have it?", args[0]); err != nil {
				return err
			}
		}
		out, err := c.Keys().DeleteImportedKeyMaterial(ctx, kmsv1.DeleteImportedKeyMaterialRequest_builder{
			KeyId: args[0], KeyMaterialId: material, DryRun: f.on, ClientToken: f.token,
		}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(changed{out.GetKeyId(), out.GetKeyMaterialId()}, "deleted the material %s of %s", out.GetKeyMaterialId(), out.GetKeyId())
	})
	return cmd
}
