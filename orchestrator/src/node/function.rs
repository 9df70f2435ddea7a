//! Functions: a run looks packets up and computes those without results, a forecast only looks them up, and a
//! verification looks them up and also computes them again.

use std::sync::Arc;

use anabranch_engine::index::At as _;
use anabranch_engine::operator::InputOrder;
use anabranch_engine::stage::Running;
use anabranch_nodes::function::{
    BoundFunction, CacheMode, FailureSink, ForecastCounters, ForecastParts, ForecastStage, Function,
    FunctionStage, MissedRows, OnError, SampleStage, StageParts,
};

use super::stand_in::OnePort;
use super::stats::FunctionStats;
use super::{
    Certainty, Identity, JobBuilder, JobIndex, KindTraits, Knob, LowerError, Lowered, Mode, Node, NodeKind,
    PlanError, Planned, Planning, Protected, RunMode, Site, VerifyMode, VerifyStats, only_input,
};
use crate::store::Store;

/// Name of the kind.
const KIND: &str = "function";

/// A planned function.
#[derive(Clone)]
pub(crate) struct FunctionKind {
    pub(crate) specification: Function,
    pub(crate) bound: Arc<BoundFunction>,
}

impl FunctionKind {
    /// Binds a function to its input.
    pub(crate) fn plan(
        name: &str,
        specification: Function,
        inputs: &[&Node],
        planning: &Planning<'_>,
    ) -> Result<Planned, PlanError> {
        let input = only_input(name, inputs)?.as_input();
        let bound = match planning.reading {
            None => specification.bind(&input),
            Some(reading) => {
                let earlier = reading.earlier(planning.pipeline, name, &specification);
                specification.bind_unread(&input, &earlier)
            }
        };
        let bound = bound.map_err(|e| PlanError::function(name, &e))?;
        let contract = bound.contract.clone();
        // The revision of `sql` is a component of the fingerprint.
        let identity = Identity::derived(inputs, InputOrder::Ordered, |structure| {
            structure.text(KIND);
            structure.digest(bound.stored.fingerprint.digest());
            structure.flag(bound.keep);
        });
        let work = Arc::new(Self { specification, bound: Arc::new(bound) });
        Ok(Planned { kind: KIND, work, contract, identity })
    }

    /// Mode in which stored results are used.
    fn cache(&self, node: &Node, no_reuse: bool) -> CacheMode {
        match node.cache {
            _ if !self.bound.cacheable => CacheMode::Off,
            CacheMode::Reuse if no_reuse => CacheMode::Refresh,
            cache => cache,
        }
    }

    fn run(
        &self,
        node: &Node,
        run: &RunMode<'_>,
        job: &JobBuilder<'_>,
    ) -> Result<(FunctionStage, FunctionStats), LowerError> {
        if matches!(node.cache, CacheMode::Replay | CacheMode::Verify) && !self.bound.cacheable {
            return Err(LowerError::Start("cache: found replay or verify, expected reuse or off, since a closure without a version has no results; give it one by version".into()));
        }
        let cache = self.cache(node, run.no_reuse);
        let kept = !matches!(cache, CacheMode::Off | CacheMode::Verify);
        let recorded = kept && run.limit.is_none();
        let stats =
            FunctionStats { verifies: cache == CacheMode::Verify, recorded, ..FunctionStats::default() };
        let begun = recorded.then(|| run.recorder(node, Some(&self.bound), &job.origins));
        let stage = FunctionStage::new(StageParts {
            function: Arc::clone(&self.bound),
            cache,
            calls: node.calls.options(run.settings),
            results: run.store.results(),
            recorder: begun.transpose().map_err(LowerError::start)?,
            failures: FailureSink {
                store: run.store.failures(),
                run: run.run_id.to_owned(),
                pipeline: run.pipeline.to_owned(),
                node: node.name.clone(),
            },
            origins: Arc::clone(&job.origins),
            counters: Arc::clone(&stats.counters),
            differences: Arc::clone(&stats.differences),
            authors: Arc::clone(&run.authors),
        });
        Ok((stage, stats))
    }

    /// Adds the look-ups of a forecast.
    fn forecast(
        &self,
        site: &Site<'_>,
        (cache, store): (CacheMode, Option<&Store>),
        missed: Option<MissedRows>,
        job: &mut JobBuilder<'_>,
    ) -> Lowered {
        let counters = Arc::new(ForecastCounters::default());
        let stage = ForecastStage::new(ForecastParts {
            function: Arc::clone(&self.bound),
            cache,
            results: store.map(Store::results),
            origins: Arc::clone(&job.origins),
            counters: Arc::clone(&counters),
            missed,
        });
        let mut lowered = job.push_node(site.node, &site.inputs, Running::Stage(Box::new(stage)));
        lowered.stats.forecast = Some(counters);
        lowered
    }

    /// Adds entries that compute packets of the input again and compare them.
    fn verify(
        &self,
        node: &Node,
        input: JobIndex,
        verify: &VerifyMode<'_>,
        job: &mut JobBuilder<'_>,
    ) -> VerifyStats {
        let stats = VerifyStats::default();
        let (function, results) = (Arc::clone(&self.bound), verify.store.results());
        let sample = SampleStage::new(function, results, Arc::clone(&stats.sampled), verify.sample);
        let mut calls = node.calls.options(verify.settings);
        // A call that fails now has no result to compare; the others are still checked.
        calls.on_error = OnError::Skip;
        let compare = FunctionStage::new(StageParts {
            function: Arc::clone(&self.bound),
            cache: CacheMode::Verify,
            calls,
            results: verify.store.results(),
            recorder: None,
            failures: FailureSink {
                store: verify.store.failures(),
                run: String::new(),
                pipeline: verify.pipeline.to_owned(),
                node: node.name.clone(),
            },
            origins: Arc::clone(&job.origins),
            counters: Arc::clone(&stats.calls),
            differences: Arc::clone(&stats.differences),
            // Nothing is committed.
            authors: Arc::default(),
        });
        let (sample, _) = job.push(&node.name, &[input], Running::Stage(Box::new(sample)));
        let (compare, _) = job.push(&node.name, &[sample], Running::Stage(Box::new(compare)));
        job.push(&node.name, &[compare], Running::Stage(Box::new(OnePort::new(1, None))));
        stats
    }
}

static TRAITS: KindTraits = KindTraits {
    knobs: &[
        Knob::Cache,
        Knob::Concurrency,
        Knob::Timeout,
        Knob::Retry,
        Knob::Rate,
        Knob::OnError,
        Knob::Order,
    ],
    brackets: ("([", "])"),
    shape: "ellipse",
    gives_rows: true,
};

impl NodeKind for FunctionKind {
    fn files(&self, name: &str) -> Vec<Protected> {
        let role = format!("function \"{name}\" consists of");
        self.bound.files().map(|file| Protected::file(file.to_owned(), &role)).collect()
    }

    fn traits(&self) -> &'static KindTraits {
        &TRAITS
    }

    fn certainty(&self, above: Certainty, computes: bool) -> Certainty {
        match above {
            Certainty::Exact if computes => Certainty::Bounded,
            above => above,
        }
    }

    fn plan_again(
        &self,
        node: &Node,
        inputs: &[&Node],
        planning: &Planning<'_>,
    ) -> Result<Planned, PlanError> {
        Self::plan(&node.name, self.specification.clone().known(&self.bound), inputs, planning)
    }

    fn lower(&self, site: &Site<'_>, job: &mut JobBuilder<'_>) -> Result<Lowered, LowerError> {
        let node = site.node;
        match site.mode {
            Mode::Run(run) => {
                let (stage, function) = self.run(node, run, job)?;
                let mut lowered = job.push_node(node, &site.inputs, Running::Stage(Box::new(stage)));
                lowered.stats.function = Some(function);
                Ok(lowered)
            }
            Mode::Forecast(forecast) => {
                let watch = forecast.watch.as_ref().filter(|watch| watch.node == site.index);
                let missed = watch.map(|watch| (watch.missed)(&job.origins));
                let cache = self.cache(node, forecast.no_reuse);
                Ok(self.forecast(site, (cache, forecast.store), missed, job))
            }
            Mode::Verify(verify) => {
                let cache = self.cache(node, false);
                let mut lowered = self.forecast(site, (cache, Some(verify.store)), None, job);
                if verify.only.is_none_or(|only| only == site.index) {
                    let input = *site.inputs.at(0, "input of a function");
                    lowered.stats.verify = Some(self.verify(node, input, verify, job));
                }
                Ok(lowered)
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let uncached = "a closure without a version is not cached; give it one by version";
        let uncached = (!self.bound.cacheable).then(|| uncached.to_owned());
        uncached.into_iter().chain(self.bound.warnings().iter().map(ToString::to_string)).collect()
    }

    fn as_function(&self) -> Option<&FunctionKind> {
        Some(self)
    }
}
