//! What a call is given before it is answered: its fault, if it has one, and how the provider refreshes.

use super::Simulated;
use super::answer::Answer;
use super::authorize::Details;
use super::faults::{Call, Content, Fault};
use super::refreshing::Behavior;
use crate::model::problem::Error;
use crate::store::simulator as store;
use crate::upstream::descriptor::Descriptor;
use serde_json::Value;

/// A call that was counted.
pub(super) struct CountedCall {
    call: Call,
    fault: Option<Fault>,
    /// As it was chosen, to be bound to what comes of this call.
    text: Option<String>,
    /// How the provider refreshes, if not as the real one.
    pub behavior: Option<Behavior>,
}

impl Simulated<'_> {
    /// Counts a call and finds its fault: that of the approval whose code or token is `presented`, else one of the next
    /// calls', else the provider's.
    pub(super) async fn seen(&self, call: Call, presented: Option<&str>) -> Result<CountedCall, Error> {
        let mut connection = self.simulator.db.acquire().await?;
        let noted = store::note_call(&mut connection, self.place(), call.name()).await?;
        let own = match presented {
            Some(value) => store::details(&mut connection, self.place(), self.hash(value)).await?,
            None => None,
        };
        let own = own.map(chosen).transpose()?.flatten();
        let faults = [own, noted.fail_next, noted.fault].into_iter().flatten();
        let read = |text: String| Ok((next(&text, call).ok_or_else(|| unknown("fault", &text))?, text));
        let faults: Vec<(Fault, String)> = faults.map(read).collect::<Result<_, Error>>()?;
        let (fault, text) = faults.into_iter().find(|(fault, _)| fault.touches(call)).unzip();
        let behavior = |text: &String| Behavior::parse(text).ok_or_else(|| unknown("behavior", text));
        Ok(CountedCall { call, fault, text, behavior: noted.refresh.as_ref().map(behavior).transpose()? })
    }
}

/// A fault as this call has it: `fail_next` may name one for whatever call comes.
fn next(text: &str, call: Call) -> Option<Fault> {
    match text.strip_suffix("@any") {
        Some(mode) => Fault::parse(&format!("{mode}@{}", call.name())),
        None => Fault::parse(text),
    }
}

fn chosen(details: Value) -> Result<Option<String>, Error> {
    Ok(serde_json::from_value::<Details>(details).map_err(Error::internal)?.fault)
}

/// What was stored was read when it was chosen: another text is a fault of ours.
fn unknown(what: &str, text: &str) -> Error {
    Error::internal(format!("a simulated provider has the {what} {text:?}, which there is not"))
}

impl CountedCall {
    /// The answer that needs no look at the request.
    pub(super) fn instead(&self, simulated: &Simulated<'_>) -> Option<Answer> {
        self.fault.as_ref()?.instead(self.call, simulated.shapes, simulated.request_id())
    }

    /// A good answer, spoiled if it must be.
    pub(super) fn spoil(&self, answer: Answer) -> Answer {
        match &self.fault {
            Some(fault) => fault.spoil(answer),
            None => answer,
        }
    }

    /// The fault itself.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// What the answer says wrongly.
    pub(super) fn content(&self) -> Option<Content> {
        self.fault.as_ref()?.content()
    }

    /// Binds a fault of what is said to the approval, so that its later answers agree.
    pub(super) fn bind(&self, details: &mut Details) {
        if self.content().is_some() && details.fault.is_none() {
            details.fault.clone_from(&self.text);
        }
    }

    /// Seconds that an access token lives.
    pub(super) fn access_ttl(&self, descriptor: &Descriptor) -> Option<u32> {
        super::refreshing::access_ttl(self.behavior, descriptor)
    }
}
