package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const testARN = "arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(testNow.Add(-d)) }

const day = 24 * time.Hour

// fullKey is a key of which everything is known.
func fullKey() *kmsv1.KeyMetadata {
	return kmsv1.KeyMetadata_builder{
		AwsAccountId: "111122223333", KeyId: "1234abcd-12ab-34cd-56ef-1234567890ab", Arn: testARN, CreationDate: ago(400 * day), Description: "the app\x1b",
		KeyUsage: kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT, KeyState: kmsv1.KeyState_KEY_STATE_PENDING_DELETION, Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL,
		KeySpec: kmsv1.KeySpec_KEY_SPEC_SYMMETRIC_DEFAULT, EncryptionAlgorithms: []kmsv1.EncryptionAlgorithm{1}, SigningAlgorithms: []kmsv1.SigningAlgorithmSpec{1, 12},
		MacAlgorithms: []kmsv1.MacAlgorithmSpec{2}, KeyAgreementAlgorithms: []kmsv1.KeyAgreementAlgorithmSpec{1}, EncapsulationAlgorithms: []kmsv1.EncapsulationAlgorithmSpec{1},
		CurrentKeyMaterialId: strings.Repeat("ab", 32), DeletionDate: ago(-7 * day), PendingDeletionWindowInDays: 7, ValidTo: ago(-90 * day),
		ExpirationModel: kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_EXPIRES, DeletionProtectionEnabled: true, VersionCount: 3, KeyRotationEnabled: true,
		NextRotationDate: ago(-30 * day), RotationPeriodInDays: 365, Aliases: []string{"alias/app", "alias/other"},
		LastUsage: kmsv1.KeyLastUsageSummary_builder{Operation: "Decrypt", Timestamp: ago(3 * time.Minute)}.Build(),
	}.Build()
}

// golden compares the JSON and YAML of a view with a file.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	for _, format := range []string{formatJSON, formatYAML} {
		got, err := (&app{output: format}).encode(v)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name+"."+format, got)
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s\nwant\n%s(go test ./cmd/kmsctl -run Golden -update writes it)", name, got, want)
	}
}

// render returns a view as it is shown where there are no colours.
func render(t *testing.T, v view) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := (&app{stdout: &out, output: formatTable}).print(v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func report() *kmsv1.GetKeyDeletionReportResponse {
	return kmsv1.GetKeyDeletionReportResponse_builder{
		KeyId: testARN, KeyState: kmsv1.KeyState_KEY_STATE_DISABLED, TrackingStartDate: ago(30 * day), DisabledDate: ago(2 * day), RefusedUses: 12, Aliases: []string{"alias/app"},
		Grants: 5, Versions: 3, Warnings: []string{"12 uses were refused since it was disabled"}, DeletionProtectionEnabled: true,
		KeyLastUsage:     kmsv1.KeyLastUsage_builder{Operation: "Decrypt", Timestamp: ago(49 * time.Hour), EventId: "e-1", RequestId: "r-1"}.Build(),
		LastRefusedUsage: kmsv1.KeyLastUsage_builder{Operation: "Sign", Timestamp: ago(time.Hour)}.Build(),
		Backups:          []*kmsv1.BackupListEntry{kmsv1.BackupListEntry_builder{Name: "monday", BackupDate: ago(day)}.Build()},
	}.Build()
}

func secondVersion() *kmsv1.RotationsListEntry {
	return kmsv1.RotationsListEntry_builder{
		KeyId: "1234abcd-12ab-34cd-56ef-1234567890ab", KeyMaterialId: strings.Repeat("cd", 32), Version: 2, KeyMaterialState: kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_CURRENT,
		RotationDate: ago(day), RotationType: kmsv1.RotationType_ROTATION_TYPE_AUTOMATIC, ImportState: kmsv1.ImportState_IMPORT_STATE_IMPORTED,
		ExpirationModel: kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_EXPIRES, ValidTo: ago(-day), KeyMaterialDescription: "from the vault",
	}.Build()
}

// TestGolden pins the names and the order of what scripts read, and the tables that people read.
func TestGolden(t *testing.T) {
	k := viewOfKey(fullKey())
	k.Tags = tagsView{"team": "ops", "stage": "production"}
	least := viewOfKey(kmsv1.KeyMetadata_builder{
		KeyId: "22222222-12ab-34cd-56ef-1234567890ab", Arn: testARN, KeyState: kmsv1.KeyState_KEY_STATE_ENABLED, KeySpec: kmsv1.KeySpec_KEY_SPEC_HMAC_256, CreationDate: ago(time.Minute),
	}.Build())
	hidden := keyView{KeyID: "33333333-12ab-34cd-56ef-1234567890ab", ARN: testARN, Aliases: []string{}}
	golden(t, "key", k)
	golden(t, "keys", []keyView{least, hidden})
	compare(t, "key.table", render(t, k.table(testNow)))
	compare(t, "keys.table", render(t, tableOfKeys([]keyView{k, least, hidden}, testNow)))
	r := viewOfDeletionReport(report())
	golden(t, "deletion-report", r)
	compare(t, "deletion-report.table", render(t, r.table(testNow)))
	first := viewOfRotation(kmsv1.RotationsListEntry_builder{Version: 1, KeyMaterialId: strings.Repeat("ab", 32), RotationDate: ago(2 * day), KeyMaterialState: kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_NON_CURRENT}.Build())
	versions := []rotationView{viewOfRotation(secondVersion()), first}
	golden(t, "rotations", versions)
	compare(t, "rotations.table", render(t, tableOfRotations(versions)))
	golden(t, "signature", signatureView{testARN, "ab", "ECDSA_SHA_256", "DIGEST", []byte("s"), false})
	golden(t, "verified", signatureView{testARN, "ab", "ECDSA_SHA_256", "DIGEST", nil, true})
	golden(t, "mac", macView{testARN, "ab", "HMAC_SHA_256", []byte("m"), false})
	golden(t, "secret", secretView{testARN, "ab", "ML_KEM", []byte("c"), []byte("s")})
	golden(t, "data-key-pair", dataKeyPairView{testARN, "ab", "ECC_NIST_P256", []byte("p"), []byte("c"), []byte("k")})
	golden(t, "public-key", publicKeyView{testARN, []byte("p"), "RSA_2048", "SIGN_VERIFY", nil, []string{"RSASSA_PSS_SHA_256"}, nil, nil, "ab"})
	golden(t, "last-usage", lastUsageView{testARN, testNow, viewOfLastUse(report().GetKeyLastUsage()), testNow})
	golden(t, "deletion", deletionView{testARN, "PendingDeletion", testNow, 7})
	golden(t, "parameters", parametersView{testARN, "HPKE_MLKEM768_X25519", "MLKEM768_X25519", testNow})
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(files) != 2*13+4 {
		t.Errorf("%d golden files, %v, want %d: none is left over", len(files), err, 2*13+4)
	}
}

// TestAKeyFitsOnOneScreen of 24 lines, with the prompt.
func TestAKeyFitsOnOneScreen(t *testing.T) {
	k := viewOfKey(fullKey())
	k.Tags = tagsView{"team": "ops"}
	if n := bytes.Count(render(t, k.table(testNow)), []byte("\n")); n > 23 || n < 15 {
		t.Errorf("a key has %d lines, want 15 to 23", n)
	}
}

func TestAges(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59 * time.Minute: "59m", 23 * time.Hour: "23h", day: "1d", 729 * day: "729d", 800 * day: "2y",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestStatesAreNamedAsAWSDoes(t *testing.T) {
	for name, want := range map[string]string{"": "", "ENABLED": "Enabled", "PENDING_DELETION": "PendingDeletion", "PENDING_IMPORT": "PendingImport"} {
		if got := title(name); got != want {
			t.Errorf("title(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestEnumFlags(t *testing.T) {
	for _, e := range []enum{
		keySpecs, keyUsages, keyOrigins, encryptionAlgorithms, signingAlgorithms, macAlgorithms, messageTypes, keyPairSpecs, wrappingAlgorithms, wrappingKeySpecs,
	} {
		if len(e.names())+1 != len(e.values) {
			t.Errorf("%s has %d names of %d values", e.prefix, len(e.names()), len(e.values))
		}
		for _, name := range e.names() {
			for _, given := range []string{name, strings.ToLower(name)} {
				if n, err := e.parse("f", given); err != nil || n != e.values[e.prefix+name] {
					t.Errorf("parse(%q) = %d, %v, want %d", given, n, err, e.values[e.prefix+name])
				}
			}
		}
		for _, given := range []string{"UNSPECIFIED", "x", e.prefix + e.names()[0]} {
			if n, err := e.parse("f", given); err == nil || n != 0 || !strings.Contains(err.Error(), "--f "+given+": must be "+e.names()[0]) {
				t.Errorf("parse(%q) = %d, %v, want what there is", given, n, err)
			}
		}
		if n, err := e.parse("f", ""); err != nil || n != 0 {
			t.Errorf("parse of nothing = %d, %v, want 0", n, err)
		}
	}
}

func TestTheUsageOfAKey(t *testing.T) {
	for _, tt := range []struct {
		spec, usage string
		want        kmsv1.KeyUsage
		wrong       string
	}{
		{"", "", 0, ""},
		{"HMAC_256", "", kmsv1.KeyUsage_KEY_USAGE_GENERATE_VERIFY_MAC, ""},
		{"ML_DSA_44", "", kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY, ""},
		{"ml_kem_768", "", kmsv1.KeyUsage_KEY_USAGE_ENCAPSULATE_DECAPSULATE, ""},
		{"RSA_2048", "sign_verify", kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY, ""},
		{"RSA_2048", "", 0, "--usage is missing: a key of --spec RSA_2048 can be for ENCRYPT_DECRYPT or SIGN_VERIFY"},
		{"ECC_NIST_P256", "", 0, "--usage is missing: a key of --spec ECC_NIST_P256 can be for SIGN_VERIFY or KEY_AGREEMENT"},
		{"RSA_1024", "", 0, "--spec RSA_1024: must be SYMMETRIC_DEFAULT, HMAC_224"},
		{"", "SIGN_VERIFY", 0, "--usage SIGN_VERIFY: a key of --spec SYMMETRIC_DEFAULT can be for ENCRYPT_DECRYPT"},
		{"", "ENCRYPT_DECRYPT", kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT, ""},
		{"ML_KEM_768", "SIGN_VERIFY", 0, "--usage SIGN_VERIFY: a key of --spec ML_KEM_768 can be for ENCAPSULATE_DECAPSULATE"},
		{"RSA_2048", "ENCRYPT", 0, "--usage ENCRYPT: must be ENCRYPT_DECRYPT"},
	} {
		var f createFlags
		f.spec, f.usage = enumFlag{keySpecs, "spec", tt.spec}, enumFlag{keyUsages, "usage", tt.usage}
		r, err := f.request()
		if r.KeyUsage != tt.want || (err == nil) != (tt.wrong == "") || err != nil && !strings.HasPrefix(err.Error(), tt.wrong) {
			t.Errorf("--spec %s --usage %s: %v, %v, want %v or %q", tt.spec, tt.usage, r.KeyUsage, err, tt.want, tt.wrong)
		}
	}
}
