package aws

import "regexp"

// reword turns the pipeline's words of one reason into AWS's. It is never written.
type reword struct {
	reason string
	words  *regexp.Regexp // in the pipeline's message
	name   string         // AWS's name of the error, if it is not the reason
	text   string         // AWS's words, with $1 for what the words hold
}

// kmsRewords are AWS KMS's words, as AWS answers.
var kmsRewords = []reword{
	{reasonValidation, regexp.MustCompile(`^number_of_bytes: is 0, must be 1 to \d+$`), "", "NumberOfBytes is required."},
	{reasonValidation, regexp.MustCompile(`^number_of_bytes: is (0, must be .* unless|given beside) key_spec`), "", "Please specify either number of bytes or key spec."},
	{reasonValidation, regexp.MustCompile(`^valid_to: is missing`), "", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"},
	{reasonValidation, regexp.MustCompile(`the plaintext has \d+ bytes, (\w+) under (\w+) takes \d+ to (\d+)$`), "", "Algorithm ${1} and key spec ${2} cannot encrypt data larger than ${3} bytes."},
	{reasonValidation, regexp.MustCompile(`the digest has \d+ bytes, (\w+) wants \d+$`), "", "Digest is invalid length for algorithm ${1}."},
	{reasonValidation, regexp.MustCompile(`^policy_name: must be "default"`), "NotFoundException", "No such policy exists"},
	{reasonValidation, regexp.MustCompile(`^tags: has \d+ entries`), "TagException", "Too many tags"},
	{"TagException", regexp.MustCompile(`begins with "aws:", which is reserved$`), "", "Tags beginning with aws: are reserved"},
	{"TagException", regexp.MustCompile(`stands twice$`), "", "Duplicate tag keys"},
	{"InvalidAliasNameException", regexp.MustCompile(`it begins with "alias/"`), reasonValidation, `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`},
	{"InvalidAliasNameException", regexp.MustCompile(`it has only the characters`), reasonValidation, "1 validation error detected: Value at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$$"},
	{"AlreadyExistsException", regexp.MustCompile(`^already exists: an alias with the name (\S+) already exists$`), "", "An alias with the name ${1} already exists"},
	{"KMSInvalidStateException", regexp.MustCompile(`^(\S+) has no key material pending rotation\.$`), "", "No available key material pending rotation for the key: ${1}."},
	{"MalformedPolicyDocumentException", regexp.MustCompile(`^The new key policy will not allow you`), "", "The new key policy will not allow you to update the key policy in the future."},
}
