package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// deletionView is what became of the deletion of a key.
type deletionView struct {
	KeyID    string    `json:"key_id"`
	KeyState string    `json:"key_state"`
	Date     time.Time `json:"deletion_date,omitzero"`
	Window   int32     `json:"pending_window_in_days,omitempty"`
}

func (a *app) keyScheduleDeletionCommand() *cobra.Command {
	var days int32
	var f changeFlags
	cmd := &cobra.Command{
		Use: "schedule-deletion KEY", Short: "delete a key once a waiting period is over", Args: takes("KEY"),
		Long: `schedule-deletion stops a key, and deletes it with its material, aliases and grants once --days are over: what is encrypted under it can never be decrypted then.
Until then kmsctl key cancel-deletion keeps it. It shows first what speaks against it (kmsctl key deletion-report), and asks on a terminal. KEY is a key's id or ARN.`,
		Example: "  kmsctl key schedule-deletion 1234abcd-12ab-34cd-56ef-1234567890ab\n  kmsctl key schedule-deletion 1234abcd-12ab-34cd-56ef-1234567890ab --days 7 --yes",
	}
	cmd.Flags().Int32Var(&days, "days", 0, "`DAYS` to wait, 7 to 30 (default 30)")
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if !f.on {
			if err := a.warnOfDeletion(ctx, c, args[0]); err != nil {
				return err
			}
		}
		out, err := c.Keys().ScheduleKeyDeletion(ctx, kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: args[0], PendingWindowInDays: days, DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		v := deletionView{out.GetKeyId(), title(trimEnum(out.GetKeyState(), "KEY_STATE_")), instantOf(out.GetDeletionDate()), out.GetPendingWindowInDays()}
		return a.done(v, "%s", fmt.Sprintf("%s will be deleted at %s; until then: kmsctl key cancel-deletion %s", v.KeyID, stamp(v.Date), args[0]))
	})
	return cmd
}

// warnOfDeletion says what speaks against deleting a key, and asks. Who may not see the report is told so.
func (a *app) warnOfDeletion(ctx context.Context, c *client.Client, key string) error {
	out, err := c.Keys().GetKeyDeletionReport(ctx, kmsv1.GetKeyDeletionReportRequest_builder{KeyId: key}.Build())
	switch {
	case client.Is(err, "AccessDeniedException"):
		a.say("warning: you may not see who uses this key (kms:DescribeKey, kms:GetKeyLastUsage)")
	case err != nil:
		return err
	}
	for _, w := range out.GetWarnings() {
		a.say("warning: %s", w)
	}
	return a.confirm("Delete %s? What is encrypted under it can never be decrypted then.", key)
}

func (a *app) keyCancelDeletionCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "cancel-deletion KEY", Short: "keep a key that was to be deleted", Args: takes("KEY"),
		Long:    "cancel-deletion keeps a key whose waiting period is not over. It is disabled then: kmsctl key enable lets it be used again. KEY is a key's id or ARN.",
		Example: "  kmsctl key cancel-deletion 1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	f.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		out, err := c.Keys().CancelKeyDeletion(ctx, kmsv1.CancelKeyDeletionRequest_builder{KeyId: args[0], DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil || f.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		v := deletionView{KeyID: out.GetKeyId(), KeyState: title(trimEnum(out.GetKeyState(), "KEY_STATE_"))}
		next := "kmsctl key enable " + args[0]
		if v.KeyState == "PendingImport" {
			next = "kmsctl key import " + args[0]
		}
		return a.done(v, "%s", fmt.Sprintf("kept %s, which is %s; to use it: %s", v.KeyID, v.KeyState, next))
	})
	return cmd
}

func (a *app) keyDeletionProtectionCommand() *cobra.Command {
	change := func(name, short, long, said string, on bool) *cobra.Command {
		var f changeFlags
		cmd := &cobra.Command{
			Use: name + " KEY", Short: short, Args: takes("KEY"), Long: long,
			Example: "  kmsctl key deletion-protection " + name + " 1234abcd-12ab-34cd-56ef-1234567890ab",
		}
		f.add(cmd)
		cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Keys().UpdateKeyDeletionProtection(ctx, kmsv1.UpdateKeyDeletionProtectionRequest_builder{
				KeyId: args[0], Enabled: on, DryRun: f.on, ClientToken: f.token,
			}.Build())
			if err != nil || f.on {
				return a.rehearsed(err, out.GetDryRun())
			}
			return a.done(protectionView{out.GetKeyId(), out.GetEnabled()}, said, out.GetKeyId())
		})
		return cmd
	}
	return a.group(&cobra.Command{
		Use: "deletion-protection", Short: "protect a key against deletion, or end that",
		Long:    "A protected key cannot be deleted, nor can its imported material, by whoever may do so, until somebody ends the protection, who needs a permission of its own for that (kms:UpdateKeyDeletionProtection).",
		Example: "  kmsctl key deletion-protection on 1234abcd-12ab-34cd-56ef-1234567890ab",
	},
		change("on", "protect a key against deletion", "on protects a key and its imported material against deletion. KEY is a key's id or ARN.", "%s is protected against deletion", true),
		change("off", "end the protection of a key against deletion", "off ends the protection of a key; it deletes nothing. KEY is a key's id or ARN.", "%s is not protected against deletion any more", false))
}

// protectionView is whether a key is protected.
type protectionView struct {
	KeyID   string `json:"key_id"`
	Enabled bool   `json:"deletion_protection_enabled"`
}

// deletionReportView is what to know before a key is deleted.
type deletionReportView struct {
	KeyID       string       `json:"key_id"`
	KeyState    string       `json:"key_state"`
	Date        time.Time    `json:"deletion_date,omitzero"`
	Protected   bool         `json:"deletion_protection_enabled"`
	LastUse     *lastUseView `json:"key_last_usage,omitempty"`
	Tracked     time.Time    `json:"tracking_start_date,omitzero"`
	Disabled    time.Time    `json:"disabled_date,omitzero"`
	Refused     int64        `json:"refused_uses"`
	LastRefused *lastUseView `json:"last_refused_usage,omitempty"`
	Aliases     []string     `json:"aliases"`
	Grants      int64        `json:"grants"`
	Versions    int64        `json:"versions"`
	Warnings    []string     `json:"warnings"`
	Backups     []backupView `json:"backups"`
}

type backupView struct {
	Name string    `json:"name"`
	Date time.Time `json:"backup_date"`
}

func viewOfDeletionReport(r *kmsv1.GetKeyDeletionReportResponse) deletionReportView {
	return deletionReportView{
		r.GetKeyId(), title(trimEnum(r.GetKeyState(), "KEY_STATE_")), instantOf(r.GetDeletionDate()), r.GetDeletionProtectionEnabled(),
		viewOfLastUse(r.GetKeyLastUsage()), instantOf(r.GetTrackingStartDate()), instantOf(r.GetDisabledDate()), r.GetRefusedUses(), viewOfLastUse(r.GetLastRefusedUsage()),
		append([]string{}, r.GetAliases()...), r.GetGrants(), r.GetVersions(), append([]string{}, r.GetWarnings()...),
		each(r.GetBackups(), func(b *kmsv1.BackupListEntry) backupView {
			return backupView{b.GetName(), instantOf(b.GetBackupDate())}
		}),
	}
}

func (r deletionReportView) table(now time.Time) view {
	protected := "no"
	if r.Protected {
		protected = "yes"
	}
	v := pairs("key id", r.KeyID, "state", r.KeyState, "protected", protected, "will be deleted", stamp(r.Date),
		"last use", r.LastUse.words(now), "tracked since", stamp(r.Tracked), "disabled since", stamp(r.Disabled),
		"refused since then", fmt.Sprint(r.Refused), "last refused", r.LastRefused.words(now),
		"aliases", strings.Join(r.Aliases, ", "), "grants", fmt.Sprint(r.Grants), "versions", fmt.Sprint(r.Versions))
	for _, b := range r.Backups {
		v.rows = append(v.rows, []string{"in the backup", b.Name + " of " + stamp(b.Date)})
	}
	for _, w := range r.Warnings {
		v.rows = append(v.rows, []string{"warning", w})
	}
	return v
}

func (a *app) keyDeletionReportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "deletion-report KEY", Short: "show what to know before a key is deleted", Args: takes("KEY"),
		Long: `deletion-report shows when a key was used last, who was refused since it was disabled, and what points to it: what its deletion would break. A key that
nobody seems to use is disabled first, for a month perhaps, and deleted if nobody missed it. KEY is a key's id or ARN.`,
		Example: "  kmsctl key deletion-report 1234abcd-12ab-34cd-56ef-1234567890ab",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Keys().GetKeyDeletionReport(ctx, kmsv1.GetKeyDeletionReportRequest_builder{KeyId: args[0]}.Build())
			if err != nil {
				return err
			}
			v := viewOfDeletionReport(out)
			return a.emit(v, func() view { return v.table(time.Now()) })
		}),
	}
}
