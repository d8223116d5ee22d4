package aws

// What AWS's parser says of a structure or a list in the place of something else.
var (
	errStartOfStructure = serialization("Start of structure or map found where not expected.")
	errStartOfList      = serialization("Start of list found where not expected")
)

// mismatch is what AWS's parser says of the value that begins here, in the place of one of the kind name. It never tells the value.
func (d *jsonDecoder) mismatch(name string) error {
	token := ""
	switch c := d.next(); c {
	case '{':
		return errStartOfStructure
	case '[':
		return errStartOfList
	case '"':
		token = "STRING_VALUE"
	case 't':
		token = "TRUE_VALUE"
	case 'f':
		token = "FALSE_VALUE"
	default:
		_, whole, ok := d.number()
		switch {
		case !ok:
			return errNotJSON
		case whole:
			token = "NUMBER_VALUE"
		default:
			token = "DECIMAL_VALUE"
		}
	}
	return serialization(token + " cannot be converted to " + name)
}

// unexpected is what it says of a value in the place of a structure, list or map.
func (d *jsonDecoder) unexpected() error {
	if d.next() == 0 {
		return errNotJSON
	}
	return serialization("Unexpected field type")
}
