package authz_test

// genKeys are the keys that generated requests are about.
var genKeys = []string{
	"arn:aws:kms:local:111111111111:key/a", "arn:aws:kms:local:111111111111:key/ab",
	"arn:aws:kms:local:222222222222:key/a", "arn:aws:kms:local:222222222222:key/b",
}
