//! The faults of WS-Management, with the codes by which Windows' clients know them.

use crate::envelope::escape;

/// An error of Windows itself as `HRESULT`.
const HRESULT: u32 = 0x8007_0000;

/// Who made the mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Sender,
    Receiver,
}

/// Why a request was not carried out.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    blame: Blame,
    subcode: &'static str,
    code: u32,
    reason: String,
    /// Told as an error of WMI, as Windows does for some quotas, so that there is no `WSManFault` to be found.
    wmi: bool,
}

impl Fault {
    fn sender(subcode: &'static str, code: u32, reason: impl Into<String>) -> Self {
        Self { blame: Blame::Sender, subcode, code, reason: reason.into(), wmi: false }
    }

    fn receiver(subcode: &'static str, code: u32, reason: impl Into<String>) -> Self {
        Self { blame: Blame::Receiver, subcode, code, reason: reason.into(), wmi: false }
    }

    /// One that a test asks for.
    pub(crate) fn asked_for(subcode: &'static str, code: u32) -> Self {
        Self::receiver(subcode, code, "The test wants this fault.")
    }

    /// `ERROR_WSMAN_OPERATION_TIMEDOUT`: ask again.
    pub(crate) fn timed_out() -> Self {
        Self::receiver(
            "w:TimedOut",
            2_150_858_793,
            "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.",
        )
    }

    /// `ERROR_WSMAN_UNEXPECTED_SELECTORS`.
    pub(crate) fn no_shell(id: &str) -> Self {
        Self::sender(
            "w:InvalidSelectors",
            2_150_858_843,
            format!(
                "The request for the Windows Remote Shell with ShellId {id} failed because the shell was not found on the \
                 server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the \
                 server. Provide the correct ShellId or create a new shell and retry the operation."
            ),
        )
    }

    /// The same code for a command, which is assumed: [MS-WSMV] names only the fault.
    pub(crate) fn no_command(id: &str) -> Self {
        Self::sender(
            "w:InvalidSelectors",
            2_150_858_843,
            format!("The request failed because the command {id} was not found in the shell."),
        )
    }

    /// `ERROR_OPERATION_ABORTED`: the command was terminated under a waiting `Receive`.
    pub(crate) fn aborted() -> Self {
        Self::receiver(
            "w:InternalError",
            995,
            "The I/O operation has been aborted because of either a thread exit or an application request.",
        )
    }

    /// `ERROR_WSMAN_QUOTA_MAX_SHELLS`.
    pub(crate) fn too_many_shells(most: usize) -> Self {
        Self::receiver(
            "w:QuotaLimit",
            2_150_859_173,
            format!(
                "The WS-Management service cannot process the request. This user is allowed a maximum number of {most} \
                 concurrent shells, which has been exceeded. Close existing shells or raise the quota for this user."
            ),
        )
    }

    /// `ERROR_WSMAN_QUOTA_MAX_OPERATIONS`, seen from Windows as an error of WMI.
    pub(crate) fn too_many_operations() -> Self {
        Self {
            wmi: true,
            ..Self::receiver(
                "w:InternalError",
                2_150_859_174,
                "The WS-Management service cannot process the request. The maximum number of concurrent operations for \
                 this user has been exceeded. Close existing operations for this user, or raise the quota for this user.",
            )
        }
    }

    /// A failure of `CreateProcess`, as `HRESULT`. The job of a shell that is full is one, too.
    pub(crate) fn cannot_start(error: Start) -> Self {
        let (code, reason) = match error {
            Start::NoFile => (2, "The system cannot find the file specified."),
            Start::Denied => (5, "Access is denied."),
            Start::TooLong => (206, "The filename or extension is too long."),
            Start::NoDirectory => (267, "The directory name is invalid."),
            Start::NoQuota => (1816, "Not enough quota is available to process this command."),
        };
        Self::receiver("w:InternalError", HRESULT + code, reason)
    }

    /// `ERROR_NO_DATA` as `HRESULT`: the process takes no more input.
    pub(crate) fn pipe_closed() -> Self {
        Self::receiver("w:InternalError", HRESULT + 232, "The pipe is being closed.")
    }

    /// `ERROR_BUSY`: what was sent before is not written yet.
    pub(crate) fn busy() -> Self {
        Self::receiver("w:InternalError", 170, "The requested resource is in use.")
    }

    /// `ERROR_WSMAN_MAX_ENVELOPE_SIZE_EXCEEDED`.
    pub(crate) fn envelope_too_long(most: usize) -> Self {
        Self::sender(
            "w:EncodingLimit",
            2_150_858_824,
            format!(
                "The WS-Management service cannot process the request because the request exceeded the maximum envelope \
                 size of {most} bytes."
            ),
        )
    }

    /// `ERROR_WSMAN_SCHEMA_VALIDATION_ERROR`.
    pub(crate) fn schema(what: impl std::fmt::Display) -> Self {
        Self::sender(
            "w:SchemaValidationError",
            2_150_858_817,
            format!(
                "The SOAP XML in the message does not match the corresponding XML schema definition. Change the XML and \
                 retry. {what}"
            ),
        )
    }

    /// `ERROR_WSMAN_INVALID_ACTIONURI`.
    pub(crate) fn no_action(action: &str) -> Self {
        Self::sender(
            "a:ActionNotSupported",
            2_150_858_753,
            format!(
                "The WS-Management service cannot process the request. The action {action} is not supported."
            ),
        )
    }

    /// `ERROR_WSMAN_RESOURCE_NOT_FOUND`.
    pub(crate) fn no_resource(uri: &str) -> Self {
        Self::sender(
            "a:DestinationUnreachable",
            2_150_858_752,
            format!(
                "The WS-Management service cannot find the resource identified by the resource URI {uri}."
            ),
        )
    }

    /// `ERROR_WSMAN_OPTIONS_INVALID_NAME`.
    pub(crate) fn no_option(name: &str) -> Self {
        Self::sender(
            "w:InvalidOptions",
            2_150_858_834,
            format!(
                "The WS-Management service cannot process the request because the option {name} is not known."
            ),
        )
    }

    /// `ERROR_WSMAN_SOAP_FAULT_MUST_UNDERSTAND`.
    pub(crate) fn must_understand(header: &str) -> Self {
        Self::sender(
            "s:MustUnderstand",
            2_150_858_768,
            format!("The WS-Management service does not understand the header {header}."),
        )
    }

    /// The body of the envelope.
    pub(crate) fn body(&self) -> String {
        let Self { blame, subcode, code, reason, wmi } = self;
        let reason = escape(reason);
        let detail = if *wmi {
            format!(
                "<p:MSFT_WmiError b:IsCIM_Error=\"true\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                 xmlns:b=\"http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd\" \
                 xmlns:p=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError\" \
                 xmlns:cim=\"http://schemas.dmtf.org/wbem/wscim/1/common\" xsi:type=\"p:MSFT_WmiError_Type\">\
                 <p:CIMStatusCode xsi:type=\"cim:cimUnsignedInt\">27</p:CIMStatusCode>\
                 <p:Message xsi:type=\"cim:cimString\">{reason}</p:Message>\
                 <p:MessageID xsi:type=\"cim:cimString\">HRESULT {code:#x}</p:MessageID>\
                 <p:error_Code xsi:type=\"cim:cimUnsignedInt\">{code}</p:error_Code>\
                 <p:error_Type xsi:type=\"cim:cimString\">HRESULT</p:error_Type></p:MSFT_WmiError>"
            )
        } else {
            format!(
                "<f:WSManFault xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" Code=\"{code}\" \
                 Machine=\"{machine}\"><f:Message>{reason}</f:Message></f:WSManFault>",
                machine = crate::authentication::COMPUTER
            )
        };
        format!(
            "<s:Fault><s:Code><s:Value>s:{blame:?}</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>\
             <s:Reason><s:Text xml:lang=\"en-US\">{reason}  </s:Text></s:Reason><s:Detail>{detail}</s:Detail></s:Fault>"
        )
    }
}

/// Why a process cannot be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    NoFile,
    Denied,
    TooLong,
    NoDirectory,
    NoQuota,
}
