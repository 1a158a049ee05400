//! What a sign-up must have, and that nothing completes without it.

use proptest::prelude::*;

use super::*;

const NOTHING: SignUpFacts = SignUpFacts {
    email: None,
    username: false,
    password: false,
    first_name: false,
    last_name: false,
    legal_accepted: false,
    social: false,
};

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

#[test]
fn the_lists_follow_the_settings() {
    let strict = settings(|settings| {
        settings.attributes.username.required = true;
        settings.attributes.password.required = true;
        settings.legal_consent = true;
    });
    let fields = fields(&strict, &NOTHING, Defences::ALL);
    use Field::*;
    assert_eq!(fields.required, [EmailAddress, Username, Password, LegalAccepted]);
    assert_eq!(fields.optional, [FirstName, LastName]);
    assert_eq!(fields.missing, fields.required);
    assert!(!fields.is_ready() && fields.unverified.is_empty());
}

#[test]
fn a_social_sign_up_needs_no_password() {
    let demanding = settings(|settings| settings.attributes.password.required = true);
    let social = SignUpFacts { email: Some(AddressEvidence::Provider), social: true, ..NOTHING };
    assert!(fields(&demanding, &social, Defences::ALL).is_ready());
    let by_verification = SignUpFacts { email: Some(AddressEvidence::Verification), ..NOTHING };
    assert_eq!(fields(&demanding, &by_verification, Defences::ALL).missing, [Field::Password]);
}

#[test]
fn address_must_be_verified_where_the_instance_demands_it() {
    let given = SignUpFacts { email: Some(AddressEvidence::No), social: true, ..NOTHING };
    assert_eq!(fields(&Settings::default(), &given, Defences::ALL).unverified, [Field::EmailAddress]);
    let lax = settings(|settings| settings.attributes.email_address.verify_at_sign_up = false);
    assert!(fields(&lax, &given, Defences::ALL).is_ready());
    assert!(!given.is_email_verified(Defences::ALL), "taken as it is, but not as verified");
}

#[test]
fn nobody_is_made_of_nothing() {
    let optional = settings(|settings| settings.attributes.email_address.required = false);
    assert_eq!(fields(&optional, &NOTHING, Defences::ALL).missing, [Field::EmailAddress]);
    let named = SignUpFacts { username: true, ..NOTHING };
    assert_eq!(
        fields(&optional, &named, Defences::ALL).missing,
        [Field::Password],
        "a username alone opens no account"
    );
    assert!(fields(&optional, &SignUpFacts { social: true, ..NOTHING }, Defences::ALL).is_ready());
}

#[test]
fn only_a_present_attempt_is_changed() {
    assert_eq!(may_change(AttemptLife::Current, false), Ok(()));
    assert_eq!(may_change(AttemptLife::Replaced, false), Err(Refused::Replaced));
    for (life, done) in [(AttemptLife::Current, true), (AttemptLife::Replaced, true), (AttemptLife::Abandoned, false)] {
        assert_eq!(may_change(life, done), Err(Refused::State));
    }
}

#[test]
fn first_rule_that_refuses_is_reported() {
    let mode =
        |mode| settings(|settings| settings.sign_up = super::super::settings::SignUpSettings { mode, user_quota: 2 });
    assert_eq!(may_sign_up(&mode(SignUpMode::Restricted), true, 9), Err(SignUpRestriction::Restricted));
    assert_eq!(may_sign_up(&mode(SignUpMode::Waitlist), true, 9), Err(SignUpRestriction::Waitlist));
    assert_eq!(may_sign_up(&mode(SignUpMode::Public), true, 9), Err(SignUpRestriction::Subaddress));
    assert_eq!(may_sign_up(&mode(SignUpMode::Public), false, 2), Err(SignUpRestriction::Quota));
    assert_eq!(may_sign_up(&mode(SignUpMode::Public), false, 1), Ok(()));
    assert_eq!(may_sign_up(&Settings::default(), false, i64::MAX), Ok(()));
}

fn any_settings() -> impl Strategy<Value = Settings> {
    prop::collection::vec(any::<bool>(), 9).prop_map(|switch| {
        settings(|settings| {
            let rules = &mut settings.attributes;
            rules.email_address.enabled = switch[0];
            rules.email_address.required = switch[0] && switch[1];
            rules.email_address.verify_at_sign_up = switch[2];
            rules.username.enabled = switch[3];
            rules.username.required = switch[4];
            rules.password.required = switch[5];
            rules.first_name.required = switch[6];
            rules.last_name.required = switch[7];
            settings.legal_consent = switch[8];
        })
    })
}

/// Something that an app or a provider adds to a sign-up.
#[derive(Clone, Copy, Debug)]
enum Add {
    Email(AddressEvidence),
    Username,
    Password,
    Names,
    Legal,
    Social,
}

fn any_add() -> impl Strategy<Value = Add> {
    let vouched =
        prop::sample::select(vec![AddressEvidence::No, AddressEvidence::Provider, AddressEvidence::Verification]);
    prop_oneof![
        vouched.prop_map(Add::Email),
        Just(Add::Username),
        Just(Add::Password),
        Just(Add::Names),
        Just(Add::Legal),
        Just(Add::Social),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Whatever is added in whatever order: an attempt is ready only with everything that the settings demand.
    #[test]
    fn no_sequence_is_ready_without_what_the_settings_demand(
        settings in any_settings(), adds in prop::collection::vec(any_add(), 0..10),
    ) {
        let mut given = NOTHING;
        for add in adds {
            match add {
                Add::Email(vouched) => given.email = Some(vouched),
                Add::Username => given.username = true,
                Add::Password => given.password = true,
                Add::Names => (given.first_name, given.last_name) = (true, true),
                Add::Legal => given.legal_accepted = true,
                Add::Social => given.social = true,
            }
            let fields = fields(&settings, &given, Defences::ALL);
            if !fields.is_ready() {
                prop_assert!(fields.missing.iter().all(|field| !given.has(*field)));
                continue;
            }
            let rules = &settings.attributes;
            prop_assert!(given.email.is_some() || !rules.email_address.required);
            prop_assert!(
                given.email != Some(AddressEvidence::No) || !rules.email_address.verify_at_sign_up
            );
            prop_assert!(given.username || !rules.username.required);
            prop_assert!(given.password || given.social || !rules.password.required);
            prop_assert!(given.first_name || !rules.first_name.required);
            prop_assert!(given.last_name || !rules.last_name.required);
            prop_assert!(given.legal_accepted || !settings.legal_consent);
            prop_assert!(given.social || given.email.is_some() || (given.username && given.password));
        }
    }
}
