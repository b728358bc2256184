//! `diorama plan`: the cells of a scenario, and which of them are known already.

use super::{
    args::{Cli, PlanArgs},
    context::Context,
    prepare::{Prepared, prepare},
    print_json, print_text, timings,
    ui::{Drawing, Ui},
};
use crate::{
    digest::Sha256,
    error::{Exit, Result},
    record::Outcome,
    run::CellCache,
    vm::Deadlines,
};
use serde::Serialize;

#[derive(Serialize)]
struct PlannedCell {
    cell: String,
    kernel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    inputs: Option<Sha256>,
    state: &'static str,
    why: String,
}

/// Shows the plan.
pub fn plan(cli: &Cli, args: &PlanArgs) -> Result<Exit> {
    let mut context = Context::new(&cli.places, args.inputs.offline)?;
    let ui = Ui::new(Drawing::Plain);
    context.store = context.store.telling(ui.teller());
    let Prepared {
        plan, vmm, notes, ..
    } = prepare(&context, &args.select, &args.inputs, |_| Ok(()), &ui)?;
    let cache = CellCache::of(plan.scenario.lane(), context.store.clone());
    let cells: Vec<PlannedCell> = plan
        .cells()
        .map(|(_, cell)| PlannedCell {
            cell: cell.key.to_string(),
            kernel: cell.key.subject.kernel.clone(),
            variant: cell.key.subject.variant.clone(),
            inputs: cell.inputs,
            state: match (
                &cell.settled,
                cache
                    .as_ref()
                    .zip(cell.inputs)
                    .and_then(|(c, i)| c.get(&i).ok()?),
            ) {
                (Some(outcome), _) => outcome.word(),
                (None, Some(_)) => "cached",
                (None, None) => "to measure",
            },
            why: cell.settled.as_ref().map_or(String::new(), Outcome::why),
        })
        .collect();
    if args.json {
        print_json(&cells)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "{} ({})\nQEMU: {}\n",
        plan.scenario.title,
        plan.scenario.lane(),
        vmm.record.version
    );
    for kernel in &plan.scenario.kernels {
        let mut records = plan.kernels.iter().map(|k| &k.record);
        let origin = records.find(|record| record.name == kernel.name);
        let origin = origin.map_or("unknown", |record| record.origin.as_str());
        text.push_str(&format!("kernel {}: {origin}\n", kernel.name));
    }
    for variant in &plan.scenario.variants {
        let changes = variant.overrides.iter();
        let changes: Vec<String> = changes
            .map(|o| format!("{} = {}", o.key, o.value))
            .collect();
        text.push_str(&format!(
            "variant {}: {}\n",
            variant.name,
            changes.join(", ")
        ));
    }
    let cost = plan.scenario.session.map(|session| {
        // Every seed's order has as many boots of each cell.
        let tasks = plan.session(session.blocks, session.seed.unwrap_or(0));
        let took = timings::read(context.store.root());
        format!(
            "a session of {} blocks takes {}",
            session.blocks,
            plan.cost(&tasks, &took).words()
        )
    });
    for note in notes
        .into_iter()
        .chain(cost)
        .chain(plan.cautions())
        .chain(plan.long(Deadlines::default().phase))
    {
        text.push_str(&format!("note: {note}\n"));
    }
    for cell in &cells {
        let inputs = cell.inputs.map_or("-".repeat(12), |i| i.short());
        text.push_str(&format!("{inputs}  {:<10}  {}", cell.state, cell.cell));
        if !cell.why.is_empty() {
            text.push_str(&format!(": {}", cell.why));
        }
        text.push('\n');
    }
    print_text(&text)?;
    Ok(Exit::Ok)
}
