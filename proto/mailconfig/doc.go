// Package mailconfig writes an account's settings for mail programs in the forms that
// they read, so that nobody types them: [Settings.Autoconfig] for Thunderbird and
// others, [Settings.Profile] for Apple's devices, [Settings.Mobile] for Thunderbird
// on Android, as the content of a QR code.
//
// Autoconfig is Mozilla's "config-v1.1.xml". Programs look for it below the domain of an
// address, at one of [AutoconfigPaths]; it names no account and no secret, so
// that anybody may read it. Thunderbird also reads it as DOMAIN.xml from the folder isp
// beside its program.
//
// A profile is a property list with the account and, before it, the certificate
// that the device is to trust. It is not signed: the device says so and installs it.
// The password is asked for when it is installed. Its identifiers follow from the
// address, so that one that is installed again takes the place of the one before.
package mailconfig
